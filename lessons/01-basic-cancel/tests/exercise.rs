//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(basic_cancel::process:
    between_steps blocks deaf first_token own_side_only panics silent);
