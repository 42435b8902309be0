"""Task environments and recurrent networks trained on them."""
