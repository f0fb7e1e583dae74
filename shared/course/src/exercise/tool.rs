//! What the checks of tools share: a server of which one tool is the learner's.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock};
use rmcp::serde_json::Value;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use shared::calls::{Call, Calls};
use shared::dataset::DataFolder;
use shared::server::{FileServer, Setup};
use shared::stop::Stop;
use tokio::time::sleep;

use crate::stage::Stage;
use crate::way::Protocol;

/// The tool that the learner writes, by the name that the lessons call it by.
pub const TOOL: &str = "process_large_file";

/// What rmcp gives to a tool with each call: `ctx.ct` fires when the call is cancelled.
pub type Context = RequestContext<RoleServer>;

/// How a tool ends: done, cancelled (`None`), or with an error.
pub type Outcome = anyhow::Result<Option<String>>;

/// The work of a call. Clones are the same work.
#[derive(Debug, Clone)]
pub struct Job(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    steps: u32,
    tick: Duration,
    /// The call's record, until the tool has returned.
    call: Mutex<Option<Call>>,
    late: Arc<AtomicU32>,
}

impl Job {
    /// How many steps the work has.
    pub fn steps(&self) -> u64 {
        self.0.steps.into()
    }

    /// Does a step. That takes a while.
    pub async fn step(&self) {
        sleep(self.0.tick).await;
        match &*self.call() {
            Some(call) => call.step_done(),
            None => _ = self.0.late.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn call(&self) -> MutexGuard<'_, Option<Call>> {
        self.0.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server in this process is made of, with steps of this length.
pub fn setup(tick: Duration) -> anyhow::Result<Setup> {
    let data = DataFolder::sample()?;
    Ok(Setup { data, calls: Calls::default(), tick, stop: Stop::default() })
}

/// A server like the lessons' own, but for [`TOOL`], which is the learner's.
pub struct Bench {
    /// Where a story can be played.
    pub stage: Stage,
    late: Arc<AtomicU32>,
}

impl Bench {
    /// A server in this process, whose steps of work take a tick.
    pub fn new<F, A>(tool: F, tick: Duration, protocol: Protocol) -> anyhow::Result<Self>
    where
        F: Fn(Job, Context) -> A + Send + Sync + 'static,
        A: Future<Output = Outcome> + Send + 'static,
    {
        let setup = setup(tick)?;
        let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
        let late = Arc::<AtomicU32>::default();
        let tool = Learners { tool, tick, calls, late: late.clone() };
        let server = Server::new(FileServer::new(setup)).with(tool);
        Ok(Self { stage: Stage::piped(server, Between::default(), stop, protocol), late })
    }

    /// How many steps were done for calls whose tool had returned.
    pub fn late_steps(&self) -> u32 {
        self.late.load(Ordering::Relaxed)
    }
}

/// Puts the learner's tool in the place of the server's own.
struct Learners<F> {
    tool: F,
    tick: Duration,
    calls: Calls,
    late: Arc<AtomicU32>,
}

impl<F, A> Layer for Learners<F>
where
    F: Fn(Job, Context) -> A + Send + Sync + 'static,
    A: Future<Output = Outcome> + Send + 'static,
{
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: Context,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        if request.name != TOOL {
            return next.call_tool(request, ctx).boxed();
        }
        let given = request.arguments.as_ref().and_then(|given| given.get("processing_time"));
        let steps = given.and_then(Value::as_u64);
        let steps = steps.and_then(|steps| steps.try_into().ok()).unwrap_or(10);
        let call = Mutex::new(Some(self.calls.start(TOOL, steps, &ctx)));
        let job = Job(Arc::new(Inner { steps, tick: self.tick, call, late: self.late.clone() }));
        let working = (self.tool)(job.clone(), ctx);
        async move {
            let done = working.await;
            let call = job.call().take();
            let said = call.map_or(Err("answered twice".to_owned()), |call| call.finish(done));
            Ok(match said {
                Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]).into(),
                Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]).into(),
            })
        }
        .boxed()
    }
}
