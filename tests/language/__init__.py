"""Tests of the language: values, framing, dialects, fitting."""
