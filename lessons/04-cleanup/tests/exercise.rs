//! The check of the exercise is right about the stub, a solution and wrong answers.

testing::judges!(cleanup::export:
    blocks deaf empty_report ends_as_failed gives_back_too_much keeps_the_file keeps_the_lease
    keeps_the_lease_on_failure keeps_the_permit no_flush no_lease panics);
