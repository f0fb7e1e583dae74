//! Every way in which the practice server can be wrong.

use clap::ValueEnum;

/// Ways to be wrong. The number is the behaviour that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flaw {
    /// 1: no cancel is listened to
    Deaf,
    /// 1: "Request cancelled" is said, and the work runs on
    FalseStop,
    /// 1: the wire is right, and a thread computes on
    ComputesOn,
    /// 1 and 2: the cancel is heard, and the work is done to its end all the same
    Finishes,
    /// 1 cannot be judged: the list says `canceled`, with one l
    Misspells,
    /// 2
    AnswersAnyway,
    /// 3
    ErrorAnyway,
    /// 4
    Chatty,
    /// 5
    HangsUp,
    /// 5: a later call fails at once
    OnlyOnce,
    /// 6
    Clumsy,
    /// 7
    UnknownKills,
    /// 8
    FinishedKills,
    /// 9
    MalformedKills,
    /// 10
    AnswersTwice,
    /// 11
    UntypedIds,
    /// 12
    ZeroDeaf,
    /// 13
    DuplicateDies,
    /// 14
    SecondCancelKills,
    /// 15
    Forgetful,
    /// 16
    Blocked,
    /// 16: the call ends the server
    Dies,
    /// 17
    EarlyDeaf,
    /// 18
    Leaky,
    /// 19
    Liar,
    /// 19 cannot be judged: the list is empty
    Unlisted,
    /// 20
    Messy,
    /// 21
    Lingers,
    /// 22
    Hasty,
    /// 23
    AnswersAtTheEnd,
    /// 24
    DeleteDeaf,
    /// 25
    WaitsForItsReader,
    /// 26
    CancelTalks,
    /// 26: the cancel's own POST is never answered
    CancelHangs,
    /// 27
    NeverEnds,
    /// 28
    LostIsCancelled,
    /// 29
    ResumeHangs,
    /// 29
    ResumeDelivers,
    /// 30
    AnySession,
    /// 31
    MovesToGet,
    /// 32
    Sessionless,
    /// 33
    StreamDeaf,
    /// 34
    FirstByteDeaf,
    /// 35, with --one-piece
    OnePieceDeaf,
    /// 36
    StreamClumsy,
    /// 37
    PostedCancelHits,
    /// 39
    ListenTalks,
    /// 41
    CancelsOurCalls,
    /// 42
    ListenLingers,
    /// 43
    TaskAckTalks,
    /// 44
    TaskNeverSettles,
    /// 44
    TaskRises,
    /// 45
    TaskUnknownFine,
    /// 46
    TaskEndChanges,
    /// 47
    TaskUninvited,
    /// 48
    TaskSleepsOn,
    /// 49
    TaskCancelledByRequest,
}
