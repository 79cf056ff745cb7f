"""From rows to what people read: groups, tables and figures."""
