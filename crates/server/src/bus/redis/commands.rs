//! What is asked of Redis beside events: counts, places, who keeps what.

use std::fmt;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::time::timeout;
use tracing::debug;

use super::Redis;
use crate::bus::Bus;

/// How long somebody who asks something waits for the answer.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection for commands. Clones share it.
#[derive(Clone)]
pub(super) enum Commands {
    /// To one server.
    Server(MultiplexedConnection),
    /// To all servers of a cluster.
    Cluster(ClusterConnection),
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Commands {
    async fn run<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, RedisError> {
        match self {
            Self::Server(connection) => commands.query_async(connection).await,
            Self::Cluster(connection) => commands.query_async(connection).await,
        }
    }

    async fn each(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        match self {
            Self::Server(connection) => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                pipeline.query_async(connection).await
            }
            // A pipeline goes to one server, and these may be of several.
            Self::Cluster(connection) => {
                let ask = |command: Cmd| {
                    let mut connection = connection.clone();
                    async move { command.query_async(&mut connection).await }
                };
                try_join_all(commands.iter().cloned().map(ask)).await
            }
        }
    }
}

impl Redis {
    /// Adds one to a count that ends by itself, and gives it; `None` if Redis does not tell at once.
    pub async fn count(&self, key: &str, keeps: Duration) -> Option<u64> {
        let mut count = redis::pipe();
        count.atomic().cmd("INCR").arg(key).cmd("EXPIRE").arg(key).arg(keeps.as_secs()).ignore();
        self.query::<(u64,)>(&count).await.map(|(count,)| count)
    }

    /// Runs commands that somebody waits for; `None` if Redis does not answer them at once. Their keys must share a slot,
    /// or a cluster refuses them.
    pub(crate) async fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Option<T> {
        self.at_once(self.ask(commands)).await
    }

    /// The same for commands that have nothing to do with each other, each with keys of one slot; their answers in order.
    pub(crate) async fn each<T: FromRedisValue>(&self, commands: &[Cmd]) -> Option<Vec<T>> {
        if commands.is_empty() {
            return Some(Vec::new());
        }
        let asked = async {
            let answers = self.connection().await?.each(commands).await;
            self.give_up_if_over(answers).await
        };
        let answers = self.at_once(asked).await?;
        answers.into_iter().map(|answer| T::from_redis_value(answer).ok()).collect()
    }

    async fn at_once<T>(&self, asked: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        if !self.is_connected() {
            return None;
        }
        match timeout(QUERY_TIMEOUT, asked).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                debug!(place = self.topology.name(), %error, "Redis does not answer a question");
                None
            }
            Err(_) => None,
        }
    }

    /// Runs commands on the connection for them.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, RedisError> {
        let answer = self.connection().await?.run(commands).await;
        self.give_up_if_over(answer).await
    }

    /// Makes the next one ask on a new connection: after a failover, at the new master.
    pub(super) async fn forget_commands(&self) {
        *self.commands.lock().await = None;
    }

    /// The connection for commands, which is made if there is none.
    async fn connection(&self) -> Result<Commands, RedisError> {
        if let Some(held) = &*self.commands.lock().await {
            return Ok(held.clone());
        }
        let made = self.topology.commands().await?;
        Ok(self.commands.lock().await.insert(made).clone())
    }

    /// Makes the next one ask on a new connection, if this answer says that there is no use in this one.
    async fn give_up_if_over<T>(&self, answer: Result<T, RedisError>) -> Result<T, RedisError> {
        if answer.as_ref().is_err_and(is_over) {
            self.forget_commands().await;
        }
        answer
    }
}

/// Whether the connection is of no use any more: it is gone, or its server is not the master any more.
fn is_over(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_timeout()
        || error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}
