"""What each step of the DAG does, and how it is run: skipped, resumed, tried again, or served warm."""
