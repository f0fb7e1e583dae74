//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(vanished::kept_alive:
    blocks deaf hides_a_dead_client impatient panics silent waits_for_a_dead_client);
