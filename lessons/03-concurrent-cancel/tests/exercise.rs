//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(concurrent_cancel::hedged:
    blocks cancels_all cancels_all_and_looks_away drops_handles in_turn only_its_own own_side_only panics takes_a_failure);
