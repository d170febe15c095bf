"""The USDⓈ-M futures half of the local exchange."""
