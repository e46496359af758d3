//! What the command prints: lines for people, NDJSON for programs.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const ADVICE: Style = AnsiColor::Cyan.on_default();

/// Pieces of output that stand out on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Strong,
    Faint,
    Plain,
}

/// How to print.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print one JSON object per line, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Color the output; the variable `NO_COLOR` turns `auto` off
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal
    Auto,
    /// Also into a file or pipe
    Always,
    /// Nowhere
    Never,
}

/// Standard output and error, in the form that was asked for.
pub(crate) struct Output {
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    color: ColorChoice,
    json: bool,
    quiet: bool,
}

impl Output {
    /// Prints to the process's own streams.
    pub(crate) fn to_standard_streams(options: &OutputOptions) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match options.color {
            ColorChoice::Auto if no_color => ColorChoice::Never,
            choice => choice,
        };
        Self {
            stdout: Box::new(BufWriter::new(io::stdout())),
            stderr: Box::new(io::stderr()),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            color,
            json: options.json,
            quiet: options.quiet,
        }
    }

    /// True where a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// True where a person reads standard output.
    pub(crate) fn is_for_people(&self) -> bool {
        self.stdout_is_terminal && !self.json
    }

    /// True where progress may be drawn on standard error.
    pub(crate) fn draws_progress(&self) -> bool {
        self.stderr_is_terminal && !self.json && !self.quiet
    }

    /// Prints one result: `human` as a line, or `record` as a line of JSON.
    pub(crate) fn result(
        &mut self,
        record: impl FnOnce() -> Value,
        human: impl FnOnce(&Painter) -> String,
    ) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.stdout, &record())?;
            writeln!(self.stdout)?;
        } else {
            let painter = Painter { color: self.colors(self.stdout_is_terminal) };
            writeln!(self.stdout, "{}", human(&painter))?;
        }
        if self.stdout_is_terminal { self.stdout.flush() } else { Ok(()) }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stdout.write_all(bytes)
    }

    /// Makes everything printed so far visible to a reader.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }

    /// Tells a person something beside the result, on standard error.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        if self.json || self.quiet {
            return Ok(());
        }
        writeln!(self.stderr, "{text}")
    }

    /// Tells of a part that failed while the whole goes on, on standard error.
    pub(crate) fn problem(&mut self, failure: &Failure) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.stderr, &failure_record(failure))?;
            return writeln!(self.stderr);
        }
        let painter = Painter { color: self.colors(self.stderr_is_terminal) };
        writeln!(self.stderr, "{} {failure}", painter.style(ERROR, "vdom:"))?;
        if let Some(request_id) = &failure.request_id
            && failure.exit == Exit::Failed
        {
            writeln!(self.stderr, "  request id: {request_id}")?;
        }
        if let Some(advice) = &failure.advice {
            writeln!(self.stderr, "  {}", painter.style(ADVICE, advice))?;
        }
        Ok(())
    }

    /// Prints what is left, explains a failure, and says how to exit.
    pub(crate) fn finish(&mut self, outcome: Result<(), Failure>) -> Exit {
        let outcome = outcome.and_then(|()| self.flush().map_err(Failure::from));
        let Err(failure) = outcome else {
            return Exit::Done;
        };
        // What was printed before the failure still counts; that it cannot be
        // printed must not hide the failure.
        let _reader_is_gone = self.flush();
        if !failure.message.is_empty() {
            let _nobody_listens = self.problem(&failure);
        }
        failure.exit
    }

    fn colors(&self, is_terminal: bool) -> bool {
        match self.color {
            ColorChoice::Auto => is_terminal,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn to_writers(
        stdout: Box<dyn Write>,
        stderr: Box<dyn Write>,
        json: bool,
        color: ColorChoice,
    ) -> Self {
        Self {
            stdout,
            stderr,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            color,
            json,
            quiet: false,
        }
    }
}

/// Says what is wrong with a command line, or prints the help that was asked for; as JSON
/// where one of the arguments before `--` asks for that.
pub(crate) fn usage(error: &clap::Error, arguments: impl Iterator<Item = OsString>) -> Exit {
    let mut options = arguments.take_while(|argument| argument != "--");
    if !error.use_stderr() || !options.any(|argument| argument == "--json") {
        // Nobody can be told where that cannot be printed.
        let _is_printed = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Done };
    }
    let text = error.render().to_string();
    let mut parts = text.trim_end().splitn(2, "\n\n");
    let problem = parts.next().unwrap_or_default();
    let problem = problem.strip_prefix("error: ").unwrap_or(problem);
    let advice = parts.next().map(str::trim).unwrap_or_default();
    let failure = Failure::new(Exit::Usage, problem).advice(advice);
    let mut stderr = io::stderr().lock();
    let _is_printed = serde_json::to_writer(&mut stderr, &failure_record(&failure))
        .map_err(io::Error::from)
        .and_then(|()| writeln!(stderr));
    Exit::Usage
}

/// Colors text where colors are wanted.
pub(crate) struct Painter {
    color: bool,
}

impl Painter {
    /// Leaves every text as it is.
    pub(crate) fn colorless() -> Self {
        Self { color: false }
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Plain => return text.to_owned(),
        };
        self.style(style, text)
    }

    fn style(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

fn failure_record(failure: &Failure) -> Value {
    json!({
        "error": failure.message,
        "code": failure.code.map(vdom_core::ErrorCode::name),
        "advice": failure.advice,
        "exit": failure.exit as u8,
        "request_id": failure.request_id,
    })
}

#[cfg(test)]
mod tests;
