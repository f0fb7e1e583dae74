//! The scenes: short conversations, each of which answers a few questions.

mod ending;
mod ids;
mod listen;
mod plain;
mod sessions;
mod streams;
mod tasks;

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::finding::{Finding, Verdict};
use crate::lane::{Answers, Lane, Unfit};
use crate::wire::Revision;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Plain,
    Sibling,
    Wrong,
    Race,
    Zero,
    Early,
    Duplicate,
    Places,
    Delete,
    Disconnect,
    Resume,
    Stranger,
    AtOnce,
    Listen,
    Tasks,
    Exit,
    Drain,
    Silence,
    Stuck,
    ExitWithListen,
}

/// In this order: what a scene learns, later ones use.
const SCENES: [Scene; 15] = [
    Scene::Plain,
    Scene::Sibling,
    Scene::Wrong,
    Scene::Race,
    Scene::Zero,
    Scene::Early,
    Scene::Disconnect,
    Scene::Resume,
    Scene::Stranger,
    Scene::Delete,
    Scene::AtOnce,
    Scene::Listen,
    Scene::Tasks,
    Scene::Places,
    Scene::Duplicate,
];

/// These end their server.
const ENDINGS: [Scene; 5] =
    [Scene::Exit, Scene::Drain, Scene::Silence, Scene::Stuck, Scene::ExitWithListen];

impl Scene {
    /// What the scene judges in this lane.
    fn numbers(self, lane: &Lane) -> &'static [u32] {
        let (http, revision) = (lane.wire.is_http(), lane.wire.revision);
        match (self, http, revision) {
            (Self::Plain, true, Revision::Handshake) => {
                &[1, 2, 3, 4, 5, 15, 16, 19, 20, 26, 27, 31, 32]
            }
            (Self::Plain, true, Revision::Stateless) => &[5, 15, 16, 19, 20, 33, 35, 41],
            (Self::Plain, false, Revision::Stateless) => &[1, 2, 3, 4, 5, 15, 16, 19, 20, 41],
            (Self::Plain, false, Revision::Handshake) => &[1, 2, 3, 4, 5, 15, 16, 19, 20],
            (Self::Sibling | Self::AtOnce, true, Revision::Stateless) => match self {
                Self::Sibling => &[36],
                _ => &[34],
            },
            (Self::Wrong, true, Revision::Stateless) => &[37],
            (Self::Places, ..) => &[18],
            (Self::Sibling, ..) => &[6],
            (Self::Wrong, ..) => &[7, 8, 9, 11, 14],
            (Self::Listen, _, Revision::Stateless) => &[39],
            (Self::Tasks, _, Revision::Stateless) => &[43, 44, 45, 46, 47, 48, 49],
            (Self::ExitWithListen, false, Revision::Stateless) => &[42],
            (Self::Exit, false, _) if lane.setup.endings => &[21],
            (Self::Drain, false, _) if lane.setup.endings => &[22],
            (Self::Silence, false, _) if lane.setup.endings => &[23],
            (Self::Stuck, false, _) if lane.setup.endings => &[25],
            (Self::Delete, true, Revision::Handshake) => &[24],
            (Self::Disconnect, true, Revision::Handshake) => &[28],
            (Self::Resume, true, Revision::Handshake) => &[29],
            (Self::Stranger, true, Revision::Handshake) => &[30],
            // On HTTP 2026-07-28 no cancel names an id.
            (
                Self::Race | Self::Zero | Self::Early | Self::Duplicate,
                true,
                Revision::Stateless,
            ) => &[],
            (Self::Race, ..) => &[10],
            (Self::Zero, ..) => &[12],
            (Self::Early, ..) => &[17],
            (Self::Duplicate, ..) => &[13],
            _ => &[],
        }
    }

    async fn play(self, lane: &mut Lane) -> anyhow::Result<()> {
        match self {
            Self::Plain => plain::play(lane).await,
            Self::Sibling => ids::sibling(lane).await,
            Self::Wrong => ids::wrong(lane).await,
            Self::Race => ids::race(lane).await,
            Self::Zero => ids::zero(lane).await,
            Self::Early => ids::early(lane).await,
            Self::Duplicate => ids::duplicate(lane).await,
            Self::Places => ids::places(lane).await,
            Self::Delete => sessions::delete(lane).await,
            Self::Disconnect => sessions::disconnect(lane).await,
            Self::Resume => sessions::resume(lane).await,
            Self::Stranger => sessions::stranger(lane).await,
            Self::AtOnce => streams::at_once(lane).await,
            Self::Listen => listen::cancel(lane).await,
            Self::Tasks => tasks::play(lane).await,
            Self::Exit => ending::exit(lane).await,
            Self::Drain => ending::drain(lane).await,
            Self::Silence => ending::silence(lane).await,
            Self::Stuck => ending::stuck(lane).await,
            Self::ExitWithListen => ending::exit_with_listen(lane).await,
        }
    }
}

/// Plays all scenes that this lane has and the user wants.
pub async fn play(mut lane: Lane, progress: impl Fn(&str)) -> anyhow::Result<Vec<Finding>> {
    let wanted = |scene: &Scene, lane: &Lane| {
        scene.numbers(lane).iter().any(|number| lane.wants(*number) && !lane.is_judged(*number))
    };
    let mut endings = JoinSet::new();
    for scene in SCENES {
        if wanted(&scene, &lane) {
            progress(&format!("{}: {scene:?}", lane.name));
            let ready = if scene == Scene::Plain { Ok(()) } else { lane.reopen().await };
            match ready {
                Ok(()) => act(scene, &mut lane).await?,
                Err(error) => leave_out(scene, &mut lane, &error),
            }
        }
        if scene == Scene::Plain {
            streams::only_one(&mut lane);
            // The endings have processes of their own, and the first scene has looked at threads,
            // which other work would disturb: now they may run beside the others.
            let may_end = lane.answers != Answers::Ended;
            for ending in ENDINGS.into_iter().filter(|one| may_end && wanted(one, &lane)) {
                let fork = lane.fork();
                endings.spawn(async move {
                    let played = async {
                        let mut fork = fork.await?;
                        act(ending, &mut fork).await?;
                        fork.wire.kill().await;
                        anyhow::Ok(fork.findings)
                    };
                    (ending, played.await)
                });
            }
            if why_silent(&lane).is_some() {
                break;
            }
        }
    }
    if lane.wire.revision == Revision::Stateless {
        lane.judge(41, Verdict::Pass, "it sent no cancel for a request of ours");
    }
    while let Some(played) = endings.join_next().await {
        match played? {
            (_, Ok(findings)) => lane.findings.extend(findings),
            (ending, Err(error)) => leave_out(ending, &mut lane, &error),
        }
    }
    if let Some(why) = why_silent(&lane) {
        let all = SCENES.iter().chain(&ENDINGS).flat_map(|scene| scene.numbers(&lane));
        let all: Vec<u32> = all.copied().collect();
        for number in all {
            lane.judge(number, Verdict::NotObservable, why);
        }
    }
    lane.wire.kill().await;
    Ok(lane.findings)
}

/// Why nothing more can be asked of this server.
fn why_silent(lane: &Lane) -> Option<&'static str> {
    match lane.answers {
        Answers::NoneAtWork => Some("the server is blocked while a tool runs, see 16"),
        Answers::Ended => Some("the server ended when the tool was called, see 16"),
        Answers::All | Answers::NoneAnyMore => None,
    }
}

/// A scene for which the server could not be reached once more.
fn leave_out(scene: Scene, lane: &mut Lane, why: &anyhow::Error) {
    for number in scene.numbers(lane) {
        lane.judge(*number, Verdict::NotObservable, format!("the check broke off: {why:#}"));
    }
}

/// Plays one scene. One that breaks off is a finding too.
async fn act(scene: Scene, lane: &mut Lane) -> anyhow::Result<()> {
    let until = lane.setup.options.until;
    let played = timeout_at(until, scene.play(lane)).await;
    if lane.wire.revision == Revision::Stateless {
        listen::cancelled_by_server(lane);
    }
    // Two scenes use an id twice.
    if !matches!(scene, Scene::Duplicate | Scene::Sibling) {
        ids::answered_twice(lane);
    }
    let broken = match played {
        Ok(Ok(())) => return Ok(()),
        // With such a tool nothing can be checked.
        Ok(Err(error))
            if error.is::<Unfit>() && (scene == Scene::Plain || lane.findings.is_empty()) =>
        {
            return Err(error);
        }
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => None,
    };
    let open: Vec<u32> = scene
        .numbers(lane)
        .iter()
        .copied()
        .filter(|number| *number != 41 && lane.wants(*number) && !lane.is_judged(*number))
        .collect();
    let alive = lane.wire.fence().await.is_ok();
    for number in open {
        match &broken {
            None => lane.judge(
                number,
                Verdict::NotObservable,
                "the time was up: allow more with --limit",
            ),
            Some(why) if alive => {
                lane.judge(number, Verdict::NotObservable, format!("the check broke off: {why}"));
            }
            Some(why) => {
                lane.judge(
                    number,
                    Verdict::Fail,
                    format!("the server answers nobody any more: {why}"),
                );
            }
        }
    }
    Ok(())
}
