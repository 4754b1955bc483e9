//! The TypeScript SDK: types and lints, size, tests, the package, and the examples that use it.

use std::path::Path;

use crate::process::Tool;
use crate::{sdk, system};

/// Everything that must hold of the TypeScript SDK.
pub(crate) fn test(root: &Path) -> Result<(), String> {
    system::node(root)?;
    system::scripts(root)?;
    let folder = root.join("sdk/typescript");
    sdk::install(&folder)?;
    let npm = |script: &str| Tool::new("npm", &folder).args(["run", "--silent", script]);
    npm("check").run()?;
    // Fails when the core is too large.
    npm("build").run()?;
    npm("reference:check").run()?;
    npm("test").run()?;
    let server = sdk::server(root)?;
    npm("test:service").env("REALTIME_BIN", server).env("CHROMIUM", system::chromium(root)?).run()
}
