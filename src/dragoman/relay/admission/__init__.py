"""Whether a call may spend: limits and budgets, reserved before the call and settled after it."""
