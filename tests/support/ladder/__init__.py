"""What the tests of the ladder share."""
