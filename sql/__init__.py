"""The SQL that travels with the package: our migrations, and the stand-in of the bot's tables."""
