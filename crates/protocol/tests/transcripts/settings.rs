//! What a conversation says about the server that it is held with.

use realtime_core::limit::Rate;
use realtime_core::settings::Settings;
use realtime_protocol::appwrite::{Appwrite, Masking};

/// `settings [messages=N|off] [subscriptions=N] [channels=N] [depth=N] [nodes=N] [outbox=N] [held=N]
/// [heartbeat=1m] [tail_rate=N] [tail_batch=N] [masking=nothing|appwrite]`
pub(crate) fn read(line: &str) -> Result<(Settings, Appwrite), String> {
    let mut settings = Settings::default();
    let mut codec = Appwrite::default();
    for word in line.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is not key=value"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{value:?} is no number"));
        match (key, value) {
            ("messages", "off") => settings.messages = None,
            ("messages", _) => {
                let limit = value.parse().map_err(|_| format!("{value:?} is no number"))?;
                settings.messages = Some(Rate { limit, ..Rate::MESSAGES });
            }
            ("subscriptions", _) => settings.subscriptions = number()?,
            ("channels", _) => settings.channels = number()?,
            ("depth", _) => settings.queries.depth = number()?,
            ("nodes", _) => settings.queries.nodes = number()?,
            ("outbox", _) => settings.outbox.count = number()?,
            ("held", _) => settings.held_events = number()?,
            ("heartbeat", _) => settings.heartbeat = super::world::duration(value),
            ("tail_rate", _) => {
                settings.tail.rate = value.parse().map_err(|_| format!("{value:?} is no number"))?;
            }
            ("tail_batch", _) => settings.tail.batch = number()?,
            ("masking", "nothing") => codec.masking = Masking::Nothing,
            ("masking", "appwrite") => codec.masking = Masking::Appwrite,
            _ => return Err(format!("{word:?} is no setting")),
        }
    }
    codec.queries = settings.queries;
    Ok((settings, codec))
}
