//! Servers that are wrong about tasks, in the ways that only this lesson has reason to fear.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use course::lesson::Protocol;
use course::stage::Stage;
use futures::FutureExt;
use futures::future::BoxFuture;
use hosting::between::Between;
use hosting::layer::{Layer, Server};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    ContentBlock, DetailedTask, GetTaskParams, GetTaskResult, RequestId, TaskPayload, TaskStatus,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::TaskExit;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use shared::calls::{Calls, State};
use shared::client::Client;
use shared::server::Setup;
use tasks::journal::Journal;
use tasks::tools::TaskServer;
use tasks_extension::Asker;
use tasks_extension::client::watch;
use tasks_extension::store::Limits;
use testing::hosted::{Hosted, setup};
use testing::story::paused;
use tokio::time::sleep;

const TICK: Duration = Duration::from_millis(100);

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Never makes a task of anything.
    Reluctant,
    /// Does all work twice.
    Double,
    /// Ties the task to its request: the trap of `ctx.ct`, which fires when a call ends.
    Tied,
    /// Does not know the tasks it has made.
    Absent,
    /// Knows a task on the connection that made it, and on no other.
    Narrow,
    /// Refuses every cancel.
    Stubborn,
    /// Refuses the cancel of a task that has ended.
    Strict,
    /// Shows a task as cancelled from the moment it is told, and tells nobody else.
    Hasty,
    /// Shows a task as cancelled that was cancelled at work, and has completed all the same.
    Obliging,
    /// Shows a cancelled task as failed.
    Gloomy,
    /// Once a task has ended, a cancel changes how.
    Revising,
    /// Breaks off in the middle of a posting, and says that it has posted everything.
    Half,
    /// Stops in the middle of a posting when it is told to.
    Torn,
    /// Lets everybody read a posting that is at work.
    Open,
    /// Posts everything in its first step.
    Sudden,
}

/// What a flaw has to remember of a task.
#[derive(Debug, Clone)]
struct Memory {
    request: RequestId,
    cancelled_at: Option<TaskStatus>,
}

struct Flawed {
    flaw: Flaw,
    server: TaskServer,
    calls: Calls,
    tasks: Mutex<HashMap<String, Memory>>,
}

impl Layer for Flawed {
    fn call_tool<'a>(
        &'a self,
        next: &'a Server,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<CallToolResponse, ErrorData>> {
        self.call(next, request, ctx).boxed()
    }

    fn get_task<'a>(
        &'a self,
        next: &'a Server,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<GetTaskResult, ErrorData>> {
        self.get(next, request, ctx).boxed()
    }

    fn cancel_task<'a>(
        &'a self,
        next: &'a Server,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> BoxFuture<'a, Result<(), ErrorData>> {
        self.cancel(next, request, ctx).boxed()
    }
}

impl Flawed {
    async fn call(
        &self,
        next: &Server,
        request: CallToolRequestParams,
        mut ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.flaw == Flaw::Reluctant {
            ctx.meta.set_client_capabilities(ClientCapabilities::default());
        }
        if request.name == "post_to_journal"
            && matches!(self.flaw, Flaw::Half | Flaw::Torn | Flaw::Open | Flaw::Sudden)
        {
            return self.post(ctx).await;
        }
        if self.flaw == Flaw::Double {
            next.call_tool(request.clone(), ctx.clone()).await?;
        }
        let of_request = ctx.clone();
        let answer = next.call_tool(request, ctx).await?;
        if let CallToolResponse::Task(created) = &answer {
            let id = created.task.task_id.clone();
            let memory = Memory { request: of_request.id.clone(), cancelled_at: None };
            self.tasks.lock().unwrap().insert(id.clone(), memory);
            if self.flaw == Flaw::Tied {
                let next = next.clone();
                tokio::spawn(async move {
                    of_request.ct.cancelled().await;
                    next.cancel_task(CancelTaskParams::new(id), of_request).await
                });
            }
        }
        Ok(answer)
    }

    /// A posting of ten shares, done wrong.
    async fn post(&self, ctx: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let call = self.calls.start("post_to_journal", 10, &ctx);
        let (flaw, journal) = (self.flaw, self.server.journal().clone());
        let work = async move |asker: Asker| {
            let mut posting = journal.begin().await.unwrap();
            for step in 1..=10 {
                posting = posting.append(vec!["a row".to_owned(); 100]).await.unwrap();
                if flaw == Flaw::Open {
                    posting.commit().await.unwrap();
                    posting = journal.begin().await.unwrap();
                }
                if flaw != Flaw::Sudden {
                    call.step_done();
                    sleep(TICK).await;
                }
                if flaw == Flaw::Half && step == 5 {
                    break;
                }
                if flaw == Flaw::Torn && asker_stopped(&asker) {
                    call.end(State::Cancelled);
                    return Err(TaskExit::Cancelled);
                }
            }
            posting.commit().await.unwrap();
            call.end(State::Finished);
            Ok(CallToolResult::success(vec![ContentBlock::text("posted 1000 rows")]))
        };
        let answer = self.server.answer(ctx, work).await;
        answer.map_err(|why| ErrorData::internal_error(why, None))
    }

    async fn get(
        &self,
        next: &Server,
        request: GetTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let (id, asked_by) = (request.task_id.clone(), ctx.id.clone());
        let found = next.get_task(request, ctx).await?;
        let Some(Memory { request, cancelled_at }) = self.tasks.lock().unwrap().get(&id).cloned()
        else {
            return Ok(found);
        };
        // Ids start over with each connection.
        if self.flaw == Flaw::Absent
            || self.flaw == Flaw::Narrow && number(&asked_by) < number(&request)
        {
            return Err(ErrorData::invalid_params("which task?", None));
        }
        let DetailedTask { task, payload, .. } = found.task;
        let payload = match (self.flaw, payload, cancelled_at) {
            (Flaw::Hasty, TaskPayload::Working, Some(_))
            | (Flaw::Obliging, TaskPayload::Completed { .. }, Some(TaskStatus::Working)) => {
                TaskPayload::Cancelled
            }
            (Flaw::Gloomy, TaskPayload::Cancelled, _)
            | (Flaw::Revising, _, Some(TaskStatus::Cancelled)) => {
                let error = json!({ "code": -32603, "message": "no" }).as_object().unwrap().clone();
                TaskPayload::Failed { error }
            }
            (_, payload, _) => payload,
        };
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    }

    async fn cancel(
        &self,
        next: &Server,
        request: CancelTaskParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let id = request.task_id.clone();
        let found = next.get_task(GetTaskParams::new(&id), ctx.clone()).await?;
        let status = found.task.status();
        if let Some(memory) = self.tasks.lock().unwrap().get_mut(&id) {
            memory.cancelled_at = Some(status);
        }
        match self.flaw {
            Flaw::Stubborn => Err(ErrorData::invalid_params("no", None)),
            Flaw::Strict if status.is_terminal() => {
                Err(ErrorData::invalid_params("too late", None))
            }
            Flaw::Hasty => Ok(()),
            _ => next.cancel_task(request, ctx).await,
        }
    }
}

fn asker_stopped(asker: &Asker) -> bool {
    shared::server::Caller::stop(asker).is_cancelled()
}

fn number(id: &RequestId) -> i64 {
    let RequestId::Number(number) = id else { panic!("rmcp counts its requests") };
    *number
}

/// The lesson's server with this flaw.
fn flawed(flaw: Flaw) -> (Server, shared::stop::Stop) {
    let setup = Setup { tick: TICK, ..setup(0) };
    let (calls, stop) = (setup.calls.clone(), setup.stop.clone());
    let server = TaskServer::new(setup, Limits::default()).unwrap();
    let layer = Flawed { flaw, server: server.clone(), calls, tasks: Mutex::default() };
    (Server::new(server).with(layer), stop)
}

/// Against a server with this flaw the story ends with this sentence.
fn notices(flaw: Flaw, sentence: &str) {
    let error = paused(async {
        let (server, stop) = flawed(flaw);
        let stage = Stage::piped(server, Between::default(), stop, Protocol::V2026);
        tasks::story(&stage).await.unwrap_err()
    });
    let error = format!("{error:#}");
    assert!(error.contains(sentence), "{error}");
}

#[test]
fn notices_a_server_that_makes_no_tasks() {
    notices(Flaw::Reluctant, "answered with a result, not a task");
}

/// With two calls in the list it cannot know which of them is its own.
#[test]
fn notices_that_another_call_is_at_work() {
    notices(Flaw::Double, "new calls of process_large_file in the list: 2, not 1");
}

#[test]
fn notices_a_task_that_holds_the_token_of_its_request() {
    notices(Flaw::Tied, "the task did not outlive its request: it is Cancelled");
}

#[test]
fn notices_a_task_that_is_lost() {
    notices(Flaw::Absent, "the server has lost the task");
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_a_task_that_is_lost_with_its_connection() {
    let (server, stop) = flawed(Flaw::Narrow);
    let server = Hosted::host(server, stop, Between::default()).await;
    let error = tasks::story(&Stage::over_http(&server.url, Protocol::V2026)).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("the task was lost with its connection"), "{error}");
}

#[test]
fn notices_a_cancel_that_is_refused() {
    notices(Flaw::Stubborn, "the cancel was not acknowledged");
}

#[test]
fn notices_a_late_cancel_that_is_refused() {
    notices(Flaw::Strict, "the task has ended: the cancel was not acknowledged");
}

#[test]
fn notices_a_task_that_is_cancelled_in_name_only() {
    notices(Flaw::Hasty, "the task ended as cancelled, but its work is");
}

#[test]
fn notices_an_end_that_is_not_final() {
    notices(Flaw::Revising, "a cancel changed a task that had ended");
}

#[test]
fn notices_a_cancelled_task_that_is_called_something_else() {
    notices(Flaw::Gloomy, "the cancelled task ended otherwise: Failed");
}

#[test]
fn notices_work_that_was_done_and_is_called_cancelled() {
    notices(Flaw::Obliging, "a posting that has begun can only complete");
}

#[test]
fn notices_a_posting_that_obeys_in_the_middle() {
    notices(Flaw::Torn, "a posting that has begun can only complete");
}

/// The tool's word is worth nothing: it says that all rows are posted.
#[test]
fn notices_a_posting_that_breaks_off_in_the_middle() {
    notices(Flaw::Half, "the posting was cut: 500 of 1000 rows are in the journal");
}

#[test]
fn notices_half_a_posting_that_everybody_can_read() {
    notices(Flaw::Open, "half a posting is in the journal:");
}

#[test]
fn notices_a_posting_that_was_over_before_its_cancel() {
    notices(Flaw::Sudden, "the posting was over before its cancel was sent");
}

/// A client of the lesson's server with this tick.
async fn client(tick: Duration) -> (Client, Journal) {
    let setup = Setup { tick, ..setup(0) };
    let stop = setup.stop.clone();
    let server = TaskServer::new(setup, Limits::default()).unwrap();
    let journal = server.journal().clone();
    let stage = Stage::piped(Server::new(server), Between::default(), stop, Protocol::V2026);
    let with_tasks = ClientCapabilities::builder().enable_tasks().build();
    (stage.connect_as(with_tasks, Protocol::V2026).await.unwrap(), journal)
}

/// A posting that waits for its turn does not change.
#[test]
fn notices_a_task_that_stands_still() {
    let error = paused(async {
        let (client, journal) = client(TICK).await;
        let _other = journal.begin().await.unwrap();
        let file = json!({ "filename": "part_0.csv" });
        let started = tasks::start(&client, "post_to_journal", file).await.unwrap();
        watch(&client, &started, 1).await.unwrap_err().to_string()
    });
    assert_eq!(error, "the task has done no step for 10s");
}

/// Five steps take longer than our patience, and each is a change.
#[test]
fn a_slow_task_is_not_accused() {
    let done = paused(async {
        let (client, _) = client(Duration::from_secs(4)).await;
        let file = json!({ "filename": "part_0.csv", "processing_time": 100 });
        let started = tasks::start(&client, "process_large_file", file).await.unwrap();
        watch(&client, &started, 5).await.unwrap().1.steps_done
    });
    assert_eq!(done, 5);
}

/// The first pause that the server asks for is longer than our patience, and so is its work.
#[test]
fn a_server_that_asks_for_long_pauses_is_looked_at_again() {
    let done = paused(async {
        let (client, journal) = client(Duration::from_secs(60)).await;
        let other = journal.begin().await.unwrap();
        let file = json!({ "filename": "part_0.csv" });
        let started = tasks::start(&client, "post_to_journal", file).await.unwrap();
        let turn = async {
            sleep(Duration::from_secs(90)).await;
            drop(other);
        };
        let (watched, ()) = tokio::join!(watch(&client, &started, 1), turn);
        watched.unwrap().1.steps_done
    });
    assert_eq!(done, 1);
}
