"""The stores: one file each; none knows another."""
