//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(tasks::prove:
    believes_the_acknowledgement believes_the_task blocks cancels_the_request keeps_its_connection never_cancels panics waits_for_ever);
