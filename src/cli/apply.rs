//! `posthaste apply`: makes the partners, event types and endpoints of a running node what
//! a file says. It shows first what it would do, and does nothing before somebody has said
//! yes. What fails ends it; whoever runs it again goes on with the rest.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::settings::node::{Made, Node, NodeArgs};
use crate::cli::settings::plan::{Plan, Step, StepKind, Wishes};
use crate::cli::settings::{Settings, SettingsError, file};

/// What `apply` is told.
#[derive(Args)]
pub struct ApplyArgs {
    /// What is wanted: a file whose name ends in `.toml` or `.json`.
    pub file: PathBuf,
    /// Only show what would be done. Ends with code 2 if that is anything.
    #[arg(long, visible_alias = "plan", conflicts_with = "yes")]
    pub check: bool,
    /// Do it without asking.
    #[arg(long)]
    pub yes: bool,
    /// Delete endpoints and event types that are not in the file. Partners stay.
    #[arg(long)]
    pub prune: bool,
    /// Send headers' values and certificates' keys also where nothing tells that they have changed: they are never shown.
    #[arg(long)]
    pub set_secrets: bool,
    /// Write the secrets of new endpoints into this file, for its owner alone, instead of printing them.
    #[arg(long, value_name = "FILE")]
    pub secrets_file: Option<PathBuf>,
    /// How the node is reached.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// The node is not as the file says.
#[derive(Debug, thiserror::Error)]
#[error("the node is not as the file says")]
pub struct Drift;

/// Does it.
pub fn run(arguments: ApplyArgs) -> Result<(), Box<dyn Error>> {
    let wanted = file::read(&arguments.file)?;
    actix_rt::System::new().block_on(async {
        let node = Node::of(&arguments.node)?;
        let found = node.settings(wanted.environment).await?;
        let wishes = Wishes { prune: arguments.prune, set_secrets: arguments.set_secrets };
        let plan = Plan::new(&wanted, &found, wishes)?;
        println!("{plan}");
        if plan.is_empty() {
            return Ok(());
        }
        if arguments.check {
            return Err(Drift.into());
        }
        // What is missing is missed before anything is done.
        let bodies = plan.steps.iter().map(Step::revealed).collect::<Result<Vec<_>, _>>()?;
        let mut secrets = Secrets::to(arguments.secrets_file.as_deref())?;
        if !arguments.yes && !is_confirmed()? {
            return Err("nothing was done".into());
        }
        carry_out(&node, &plan, bodies, &wanted, &mut secrets).await
    })
}

fn is_confirmed() -> Result<bool, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return Err("nobody is there to say yes: `--yes` does it without asking, `--check` only shows the plan".into());
    }
    print!("do this? Only `yes` does: ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

async fn carry_out(
    node: &Node,
    plan: &Plan,
    bodies: Vec<Map<String, Value>>,
    wanted: &Settings,
    secrets: &mut Secrets,
) -> Result<(), Box<dyn Error>> {
    let all = plan.steps.len();
    for (done, (step, body)) in plan.steps.iter().zip(bodies).enumerate() {
        let stopped = |error: &dyn std::fmt::Display| {
            let left: String = plan.steps[done..].iter().map(|step| format!("\n  {step}")).collect();
            format!("{error}\n{done} of {all} are done; run it again to go on. Not done:{left}")
        };
        let made = node.carry_out(step, body, wanted.environment).await.map_err(|error| stopped(&error))?;
        println!("done: {step}");
        if let Some(made) = made {
            secrets.keep(step, wanted, made).map_err(|error| format!("{error}\n{} of {all} are done", done + 1))?;
        }
    }
    println!("{all} of {all} are done");
    Ok(())
}

/// Where the secrets of new endpoints go.
enum Secrets {
    Printed,
    Kept(PathBuf, File),
}

impl Secrets {
    /// The file is opened before anything is done: a secret that is made must find it.
    fn to(path: Option<&Path>) -> Result<Self, SettingsError> {
        let Some(path) = path else { return Ok(Self::Printed) };
        let opened = File::options().append(true).create(true).mode(0o600).open(path);
        let file = opened.map_err(|source| SettingsError::File { verb: "open", path: path.to_owned(), source })?;
        Ok(Self::Kept(path.to_owned(), file))
    }

    fn keep(&mut self, step: &Step, wanted: &Settings, made: Made) -> Result<(), Box<dyn Error>> {
        let Made { id, secret: Some(secret) } = made else { return Ok(()) };
        let StepKind::CreateEndpoint { partner } = &step.kind else { return Ok(()) };
        let (path, file) = match self {
            Self::Printed => {
                println!("    its id is {id}, and its secret, shown once: {secret}");
                return Ok(());
            }
            Self::Kept(path, file) => (path, file),
        };
        let line = json!({
            "environment": wanted.environment.as_str(), "partner": partner, "url": step.body.get("url"),
            "id": id, "secret": secret,
        });
        writeln!(file, "{line}").and_then(|()| file.sync_data()).map_err(|error| {
            let path = path.display();
            format!("cannot write the secret of {id} into {path}: {error}; `GET /webhook/{id}/secret` shows it")
        })?;
        Ok(())
    }
}
