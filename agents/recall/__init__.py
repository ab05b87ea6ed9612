"""The slow path: what is remembered of failures and advised from them, beside the flow."""
