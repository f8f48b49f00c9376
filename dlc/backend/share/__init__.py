"""One kernel for many launches."""
