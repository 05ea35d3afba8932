//! What the PostgreSQL store promises beyond the contract.
