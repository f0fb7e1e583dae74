//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(subprocess::run:
    blocks cares_for_the_cancel_only cares_for_the_end_only kills_all kills_the_child no_output panics);
