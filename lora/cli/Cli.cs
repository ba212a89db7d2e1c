using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>Reads the command line, runs a command and turns what went wrong into one line and an exit code.</summary>
internal static class Cli
{
    public static int Run(string[] args, Terminal terminal)
    {
        var root = Root(terminal, args.FirstOrDefault());
        var debug = args.Contains("--debug");
        try
        {
            var parsed = Parse(root, args);
            if (parsed.Action is ParseErrorAction)
            {
                if (args.Length == 0)
                {
                    HelpText.Write(root, terminal.Output, terminal.Width);
                    return ExitCode.Usage;
                }
                throw CommandLineErrors.Of(parsed) ?? new UsageException("this command line cannot be read");
            }
            return parsed.Invoke(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = terminal.Output,
                Error = terminal.Error,
            });
        }
        catch (UsageException e)
        {
            return Fail(e, $"{e.Message}\nsee 'cudalora {CommandIn(root, args)}--help'", ExitCode.Usage);
        }
        catch (Exception e) when (e is UserErrorException or DeviceMemoryException)
        {
            return Fail(e, e.Message, ExitCode.Failure);
        }
        catch (OperationCanceledException e)
        {
            return Fail(e, "interrupted", ExitCode.Interrupted);
        }
        catch (Exception e)
        {
            var hint = debug ? "" : " (run it again with --debug for the trace)";
            return Fail(e, $"unexpected {e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}{hint}",
                ExitCode.Failure);
        }

        int Fail(Exception e, string message, int code)
        {
            try
            {
                terminal.Error.WriteLine($"error: {message}");
                if (debug) terminal.Error.WriteLine(e);
                terminal.Output.Flush();
            }
            catch (Exception lost) when (lost is IOException or UnauthorizedAccessException or UserErrorException)
            {
                // Nobody reads it: the exit code is what is left to say.
            }
            return code;
        }
    }

    /// <summary>Reads a command line without running it.</summary>
    public static ParseResult Parse(RootCommand root, string[] args) =>
        root.Parse(args, new ParserConfiguration { EnablePosixBundling = false });

    /// <summary>The whole tree of commands, or as much of it as a command line that begins with a word needs.</summary>
    public static RootCommand Root(Terminal terminal, string? first = null)
    {
        var root = new RootCommand("Fine-tune language models with LoRA, on your own machine, in plain .NET.");
        foreach (var command in CommandList.Named(first, terminal)) root.Add(command);
        foreach (var help in root.Options.OfType<HelpOption>()) help.Action = new HelpText(terminal);
        return root;
    }

    private static string CommandIn(RootCommand root, string[] args) =>
        args.Length > 0 && root.Subcommands.Any(c => c.Name == args[0]) ? args[0] + " " : "";
}
