"""Tests: they mirror the code one to one; shared helpers lie here at the top."""
