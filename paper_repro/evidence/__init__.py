"""The reference run: making it, its statistics, and the ledger of claims."""
