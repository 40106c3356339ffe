//! Services that follow the registry: a version that is promoted or rolled back answers
//! without a restart.

use std::{sync::Arc, time::Duration};

use mesh_core::{Alias, ModelVersion};
use mesh_pipeline::{ProjectFolder, Workspace, deployed, version_of};
use mesh_serve::{Metrics, Model, Server, Service};
use mesh_show::{AdminKey, Show, Shown};

use crate::{context::Context, report::CliError};

/// How often the registry is looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// The services of some projects.
pub(crate) struct Live<'a> {
    context: &'a Context,
    workspace: &'a Arc<Workspace>,
    services: Vec<(&'a ProjectFolder, Arc<Service>)>,
    metrics: Metrics,
}

impl<'a> Live<'a> {
    /// Starts a service for each project, with the model in production where there is one.
    pub(crate) async fn start(
        context: &'a Context,
        workspace: &'a Arc<Workspace>,
        projects: &[&'a ProjectFolder],
    ) -> Result<Self, CliError> {
        let metrics = Metrics::new();
        let mut services = Vec::new();
        for project in projects {
            let registration = context.projects.registration(project.manifest())?;
            let service = Service::start(project.manifest().clone(), registration, &metrics)?;
            services.push((*project, service));
        }
        let live = Self { context, workspace, services, metrics };
        for (project, service) in &live.services {
            live.load(project, service).await;
        }
        Ok(live)
    }

    /// Listens, tells where, and answers until the program is asked to stop.
    pub(crate) async fn serve(&self, address: &str) -> Result<bool, CliError> {
        let services = self.services.iter().map(|(_, service)| Arc::clone(service)).collect();
        let show = self.show()?;
        let server = Server::bind(address, services, self.metrics.clone()).await?;
        let server = server.with_pages(show.router());
        server.warm_up().await;
        self.announce(&server);
        let server = server.run(async {
            self.context.stopped().await;
            show.close();
        });
        tokio::select! {
            drained = server => Ok(drained),
            () = self.follow() => Ok(true),
            () = show.tick() => Ok(true),
        }
    }

    /// The pages of all projects of the workspace, served or not.
    fn show(&self) -> Result<Show, CliError> {
        let projects = shown(self.context, self.workspace, &self.services)?;
        let admin = AdminKey::from_env(&self.workspace.manifest().show.admin_key_env)?;
        Ok(Show::new(Arc::clone(self.workspace), projects, admin))
    }

    async fn follow(&self) {
        let mut known: Vec<Option<ModelVersion>> =
            self.services.iter().map(|(_, service)| service.version()).collect();
        loop {
            tokio::time::sleep(GLANCE).await;
            for ((project, service), known) in self.services.iter().zip(&mut known) {
                let alias = Alias::production();
                let Ok(wanted) = version_of(self.workspace, project, &alias).await else {
                    continue;
                };
                if wanted != *known || (wanted.is_some() && service.version() != wanted) {
                    self.load(project, service).await;
                    *known = wanted;
                }
            }
        }
    }

    /// Loads the model in production. Where it cannot be loaded, the one before goes on to
    /// answer.
    async fn load(&self, project: &ProjectFolder, service: &Service) {
        let loaded = self.try_load(project).await;
        match loaded {
            Ok(model) => service.load(model),
            Err(error) => {
                if service.version().is_none() {
                    // The reason is for operators: an answer to the outside names no paths.
                    service.unload(format!("no model of {} is loaded", project.name()));
                }
                tracing::warn!(project = %project.name(), error = describe(&error), "no model loaded");
            }
        }
    }

    async fn try_load(&self, project: &ProjectFolder) -> Result<Model, CliError> {
        let deployed = deployed(self.workspace, project, &Alias::production(), None).await?;
        let registration = self.context.projects.registration(project.manifest())?;
        let predictor = registration.load(&deployed.files)?;
        Ok(Model { predictor, version: deployed.version, card: deployed.card })
    }

    fn announce(&self, server: &Server) {
        let base = format!("http://{}", server.address());
        if self.context.global.json {
            let services: Vec<_> = self
                .services
                .iter()
                .map(|(project, service)| {
                    serde_json::json!({ "project": project.name(), "version": service.version(),
                        "predict": format!("{base}{}/predict", route(project)) })
                })
                .collect();
            crate::output::json(&serde_json::json!({ "listening": base, "services": services }));
            return;
        }
        crate::output::line(format!("\nlistening on {base}"));
        for (project, service) in &self.services {
            let state = match service.version() {
                Some(version) => format!("version {version}"),
                None => format!("not ready: `mesh run {}`", project.name()),
            };
            let name = project.name();
            crate::output::line(format!("  {name:<20} {base}{}/docs  {state}", route(project)));
        }
        crate::output::line("Ctrl-C ends it; requests under way are answered first");
    }
}

/// All projects of a workspace as they are shown, each with its service if it is served.
pub(crate) fn shown(
    context: &Context,
    workspace: &Workspace,
    services: &[(&ProjectFolder, Arc<Service>)],
) -> Result<Vec<Shown>, CliError> {
    let shown = |folder: &ProjectFolder| {
        let found = services.iter().find(|(served, _)| served.name() == folder.name());
        Ok(Shown {
            folder: folder.clone(),
            registration: context.projects.registration(folder.manifest())?.clone(),
            service: found.map(|(_, service)| Arc::clone(service)),
        })
    };
    workspace.projects().iter().map(shown).collect()
}

fn route(project: &ProjectFolder) -> String {
    format!("/{}/v{}", project.name(), project.manifest().project.api)
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
