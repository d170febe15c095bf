"""The processes of the bridge; they import shared, never one another."""
