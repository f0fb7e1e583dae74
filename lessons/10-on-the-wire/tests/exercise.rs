//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(on_the_wire::prove:
    another_id another_protocol believes_202 believes_the_answer believes_the_list blocks hangs_up own_side_only panics);
