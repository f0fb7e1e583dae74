//! The story passes on every way it names. Against servers
//! that are wrong on purpose each attack succeeds.

mod servers;

use course::lesson::Protocol::{self, V2025, V2026};
use course::stage::Stage;
use isolate::{ATTACKS, Scene};

use servers::{Running, bare, clumsy, hoarder, naive, stuck, without_limits};

testing::passes_on!("isolate", "", http_2026);
testing::readme_shows_real_output!("isolate", Some("100ms"));

/// What the attack says when it has succeeded.
async fn succeeds(attack: &str, protocol: Protocol, server: Running) -> String {
    let stage = Stage::over_http(&server.url, protocol);
    let scene = Scene::set(&stage).await.unwrap();
    let attack = ATTACKS.iter().find(|known| known.name == attack).unwrap();
    assert!(attack.on.contains(&protocol));
    format!("{:#}", scene.survives(attack).await.unwrap_err())
}

/// Against this server the attack succeeds, and says so with this sentence.
macro_rules! succeeds {
    ($($test:ident: $attack:literal, $protocol:expr, $server:expr, $sentence:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let said = succeeds($attack, $protocol, $server.await).await;
                assert!(said.contains($sentence), "{said}");
            }
        )+
    };
}

succeeds! {
    same_ids_2025: "same ids", V2025, clumsy(), "the victim's call was hit";
    same_ids_2026: "same ids", V2026, clumsy(), "the victim's call was hit";
    guessed_ids_2025: "guessed ids", V2025, naive(), "the victim's call was hit";
    guessed_ids_2026: "guessed ids", V2026, naive(), "the victim's call was hit";
    other_type: "other type", V2025, naive(), "\"7\" cancelled the call 7";
    guessed_sessions: "guessed sessions", V2025, naive(), "a guessed session id was accepted";
    guessed_tasks: "guessed tasks", V2026, naive(), "a guessed task id was accepted";
    initialize: "initialize", V2025, naive(), "a cancel of `initialize` ended the session";
    unknown_ids_2025: "unknown ids", V2025, naive(), "hit by a cancel from before its time";
    unknown_ids_2026: "unknown ids", V2026, naive(), "hit by a cancel from before its time";
    early_cancel: "early cancel", V2025, naive(), "hit by a cancel from before its time";
    cancel_twice: "cancel twice", V2025, stuck(), "did not survive a second cancel";
    duplicate_ids: "duplicate ids", V2025, bare(), "the id of an open one was accepted";
    many_calls: "many calls", V2025, without_limits(), "no end of calls";
    many_sessions: "many sessions", V2025, without_limits(), "no end of sessions";
    many_tasks: "many tasks", V2026, without_limits(), "no end of tasks";
    big_body_2025: "big body", V2025, bare(), "is answered 200";
    big_body_2026: "big body", V2026, bare(), "is answered 200";
    slow_body_2025: "slow body", V2025, bare(), "still waits for a slow body";
    slow_body_2026: "slow body", V2026, bare(), "still waits for a slow body";
    foreign_origin_2025: "foreign origin", V2025, bare(), "a foreign Origin is answered 200";
    foreign_origin_2026: "foreign origin", V2026, bare(), "a foreign Origin is answered 200";
    foreign_host_2025: "foreign host", V2025, bare(), "a foreign Host is answered 200";
    foreign_host_2026: "foreign host", V2026, bare(), "a foreign Host is answered 200";
    long_reason: "long reason", V2025, hoarder(), "characters of a reason were kept";
}
