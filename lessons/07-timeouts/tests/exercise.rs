//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(timeouts::call_with_deadline:
    blocks hangs_up mixed_up no_cap no_deadline one_deadline own_side_only panics);
