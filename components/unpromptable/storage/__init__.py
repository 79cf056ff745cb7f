"""What is finished is kept and not done again: stores, marks, leases, new attempts and progress."""
