//! The store that real replicas share: Redis or Valkey, with the crate `redis`.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script, pipe};
use serde_json::Value;

use crate::store::{
    Beat, Bell, CANCEL_TTL, CallName, End, Fate, GONE, SESSION_TTL, Store, TASK_TTL, TaskRecord,
};

/// A Redis that replicas share, under a prefix of their own.
pub struct RedisStore {
    client: Client,
    /// Runs commands only. Bells have a connection of their own: before Redis 7.2 a pushed message
    /// can land inside the reply of `MULTI .. PUBLISH`, if both use one connection.
    commands: ConnectionManager,
    prefix: String,
}

impl RedisStore {
    /// Connects. All keys begin with the prefix.
    pub async fn open(url: &str, prefix: &str) -> Result<Self> {
        let client = Client::open(url).with_context(|| format!("{url} is no URL of a Redis"))?;
        // The defaults retry for 2.3 s before they say that the engine is down.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(Duration::from_millis(500)))
            .set_response_timeout(Some(Duration::from_millis(500)));
        let commands = client.get_connection_manager_with_config(config).await;
        let commands = commands.with_context(|| format!("no Redis or Valkey answers at {url}"))?;
        Ok(Self { client, commands, prefix: prefix.to_owned() })
    }

    fn session_key(&self, session: &str) -> String {
        format!("{}:session:{session}", self.prefix)
    }

    fn ended_key(&self, session: &str) -> String {
        format!("{}:ended:{session}", self.prefix)
    }

    /// The id is written as JSON, so that 7 and "7" have different keys.
    fn cancel_key(&self, CallName { session, id }: &CallName) -> Result<String> {
        Ok(format!("{}:cancelled:{session}:{}", self.prefix, serde_json::to_string(id)?))
    }

    fn task_key(&self, id: &str) -> String {
        format!("{}:task:{id}", self.prefix)
    }

    fn channel(&self) -> String {
        format!("{}:bell", self.prefix)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn save_session(&self, session: &str, state: &str) -> Result<()> {
        let mut set = redis::cmd("SET");
        set.arg(self.session_key(session)).arg(state).arg("EX").arg(SESSION_TTL.as_secs());
        Ok(set.query_async(&mut self.commands.clone()).await?)
    }

    async fn session(&self, session: &str) -> Result<Option<String>> {
        let mut get = redis::cmd("GET");
        Ok(get.arg(self.session_key(session)).query_async(&mut self.commands.clone()).await?)
    }

    async fn end_session(&self, session: &str) -> Result<()> {
        let bell = serde_json::to_string(&Bell::Ended(session.to_owned()))?;
        let mut both = pipe();
        both.atomic()
            .del(self.session_key(session))
            .set_ex(self.ended_key(session), 1, CANCEL_TTL.as_secs())
            .publish(self.channel(), bell);
        both.exec_async(&mut self.commands.clone()).await?;
        Ok(())
    }

    async fn cancel(&self, call: &CallName, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        let record = serde_json::to_string(&reason)?;
        let bell = serde_json::to_string(&Bell::Cancelled(call.clone(), reason))?;
        // Record first, bell second, and both or none.
        let mut both = pipe();
        both.atomic()
            .set_ex(self.cancel_key(call)?, record, CANCEL_TTL.as_secs())
            .publish(self.channel(), bell);
        both.exec_async(&mut self.commands.clone()).await?;
        Ok(())
    }

    async fn fate(&self, call: &CallName) -> Result<Fate> {
        let keys = (self.cancel_key(call)?, self.ended_key(&call.session));
        let found = redis::cmd("MGET").arg(keys).query_async(&mut self.commands.clone()).await?;
        Ok(match found {
            (Some(reason), _) => {
                let reason: String = reason;
                Fate::Cancelled(serde_json::from_str(&reason)?)
            }
            (None, Some(1)) => Fate::SessionEnded,
            (None, _) => Fate::Wanted,
        })
    }

    async fn listen(&self) -> Result<BoxStream<'static, Bell>> {
        let mut subscriber = self.client.get_async_pubsub().await?;
        subscriber.subscribe(self.channel()).await?;
        let bells = subscriber.into_on_message().filter_map(async |message| {
            let payload: String = message.get_payload().ok()?;
            serde_json::from_str(&payload).ok()
        });
        Ok(bells.boxed())
    }

    async fn start_task(&self, id: &str, owner: &str, lease: Duration) -> Result<()> {
        let script = Script::new(START);
        let mut start = script.key(self.task_key(id));
        start.arg(owner).arg(millis(lease)).arg(millis(TASK_TTL));
        Ok(start.invoke_async(&mut self.commands.clone()).await?)
    }

    async fn beat(&self, id: &str, owner: &str, lease: Duration) -> Result<Beat> {
        let script = Script::new(BEAT);
        let mut beat = script.key(self.task_key(id));
        let heard = beat.arg(owner).arg(millis(lease));
        Ok(match heard.invoke_async(&mut self.commands.clone()).await? {
            1 => Beat::Renewed,
            2 => Beat::Cancelled,
            _ => Beat::Lost,
        })
    }

    async fn cancel_task(&self, id: &str) -> Result<bool> {
        let bell = serde_json::to_string(&Bell::Task(id.to_owned()))?;
        let script = Script::new(CANCEL);
        let mut cancel = script.key(self.task_key(id));
        cancel.arg(self.channel()).arg(bell);
        Ok(cancel.invoke_async(&mut self.commands.clone()).await?)
    }

    async fn settle(&self, id: &str, owner: &str, end: End, payload: &Value) -> Result<bool> {
        let end = serde_json::to_value(end)?;
        let script = Script::new(SETTLE);
        let mut settle = script.key(self.task_key(id));
        settle.arg(owner).arg(end.as_str()).arg(payload.to_string());
        Ok(settle.invoke_async(&mut self.commands.clone()).await?)
    }

    async fn task(&self, id: &str) -> Result<Option<TaskRecord>> {
        let script = Script::new(GET);
        let mut get = script.key(self.task_key(id));
        let gone = serde_json::json!({ "code": -32603, "message": GONE });
        get.arg(gone.to_string());
        let found = get.invoke_async(&mut self.commands.clone()).await?;
        let Some((status, payload, created, updated, refused)) = found else { return Ok(None) };
        let (status, payload): (String, Option<String>) = (status, payload);
        let refused: Option<u32> = refused;
        Ok(Some(TaskRecord {
            end: serde_json::from_value(status.into()).ok(),
            payload: payload.map_or(Ok(Value::Null), |payload| serde_json::from_str(&payload))?,
            created,
            updated,
            refused: refused.unwrap_or(0),
        }))
    }
}

// A task is a hash. Each script runs as a whole, and all read the one clock of the engine, so
// clocks of replicas need not agree.

const START: &str = include_str!("scripts/start.lua");
const BEAT: &str = include_str!("scripts/beat.lua");
const CANCEL: &str = include_str!("scripts/cancel.lua");
const SETTLE: &str = include_str!("scripts/settle.lua");
const GET: &str = include_str!("scripts/get.lua");

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
