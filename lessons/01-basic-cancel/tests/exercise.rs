//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(basic_cancel::process:
    always_cancelled between_steps blocks deaf ends_as_failed ends_as_finished first_token
    no_last_step no_step_0 own_side_only panics reports_ahead silent);
