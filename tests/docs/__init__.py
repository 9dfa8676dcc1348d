"""Tests of the documentation: examples run, links lead somewhere, tables agree with the code."""
