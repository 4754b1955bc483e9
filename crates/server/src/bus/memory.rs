//! The bus inside one process: what is published here is read here.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use realtime_protocol::appwrite::envelope;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::warn;

use super::{Bus, BusError, BusFuture, NodeInbox};

/// Envelopes that may wait; publishers wait for room beyond it.
const CAPACITY: usize = 4_096;

/// A queue of envelopes with one reader.
#[derive(Debug)]
pub struct Memory {
    sender: mpsc::Sender<Published>,
    receiver: Mutex<mpsc::Receiver<Published>>,
}

/// An envelope on its way.
#[derive(Debug)]
struct Published {
    envelope: Bytes,
    /// Told when every shard has it: what was acknowledged is delivered even if the node is told to stop right after.
    posted: oneshot::Sender<()>,
}

impl Default for Memory {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Bus for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn run(&self, node: NodeInbox) -> BusFuture<'_, Infallible> {
        Box::pin(async move {
            let mut receiver = self.receiver.lock().await;
            node.begin().await;
            while let Some(Published { envelope, posted }) = receiver.recv().await {
                match envelope::decode(&envelope) {
                    Ok(event) => node.event(Arc::new(event)).await,
                    Err(error) => {
                        warn!(%error, bus = self.name(), "skipped a message that is not an event");
                        node.gap().await;
                    }
                }
                // Whoever published may have gone meanwhile.
                let _ = posted.send(());
            }
            Err(BusError::Stopped { bus: self.name() })
        })
    }

    fn publish(&self, envelope: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let stopped = || BusError::Stopped { bus: self.name() };
            let (posted, is_posted) = oneshot::channel();
            self.sender.send(Published { envelope, posted }).await.map_err(|_| stopped())?;
            is_posted.await.map_err(|_| stopped())
        })
    }
}
