//! `realtime token`: JWTs for users of the embedded database.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};
use jiff::{SignedDuration, Timestamp};
use realtime_core::id::UserId;
use serde_json::json;

use super::session::{lasts, lasts_arg};
use super::{Failure, entity, text, with_database};

/// The longest that Appwrite lets a JWT last.
const LONGEST: Duration = Duration::from_secs(3_600);

pub(super) fn command() -> Command {
    let create = Command::new("create")
        .about("Issue a JWT, as Appwrite's `account.createJWT` does")
        .arg(Arg::new("user").long("user").required(true).value_name("ID").help("For which user"))
        .arg(
            Arg::new("session")
                .long("session")
                .value_name("ID")
                .help("Of which session: the token ends with it. Without one it ends by itself alone"),
        )
        .arg(lasts_arg("15m"));
    entity::command(
        "token",
        "JSON Web Tokens for users",
        "  realtime token create --user alice\n  realtime token create --user alice --lasts 1h --json",
        [create],
    )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(()) };
    let lasts = lasts(matches)?.unwrap_or_default();
    if lasts > LONGEST {
        return Err(Failure(
            "a JWT lasts an hour at most, as in Appwrite; take a session for more".to_owned(),
        ));
    }
    with_database(matches, async |embedded| {
        let user = UserId::new(text(matches, "user").unwrap_or_default());
        let expires = Timestamp::now().checked_add(SignedDuration::try_from(lasts)?)?;
        let token = embedded.jwt.issue(&user, text(matches, "session"), expires)?;
        let facts = json!({ "token": token.expose(), "user": user.as_str(), "expires": expires.to_string() });
        entity::made(matches, "token", &facts);
        Ok::<_, Failure>(())
    })
}
