"""The truth `change`: |W(M2) - W(M1)|."""
