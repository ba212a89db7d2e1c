using System.CommandLine;
using System.CommandLine.Parsing;

namespace CudaLora.Cli;

/// <summary>Turns what System.CommandLine found wrong into one line with the nearest match.</summary>
internal static class CommandLineErrors
{
    public static UsageException UnknownOption(string name, IEnumerable<string> flags) =>
        new($"unknown option '{name}'{NearestName.Hint(name, flags)}");

    /// <summary>The first error, or null if there is none.</summary>
    public static UsageException? Of(ParseResult parsed)
    {
        if (parsed.Errors.Count == 0) return null;
        var command = parsed.CommandResult.Command;
        if (parsed.UnmatchedTokens.Count > 0)
        {
            var token = parsed.UnmatchedTokens[0];
            if (token.StartsWith('-')) return UnknownOption(token.Split('=')[0], Flags(command));
            if (command.Subcommands.Count > 0)
            {
                var names = command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name).ToArray();
                var hint = NearestName.Hint(token, names);
                return new UsageException($"unknown command '{token}'{hint} (commands: {string.Join(", ", names)})");
            }
            return new UsageException($"unexpected '{token}': values are given with a flag, such as --data FILE");
        }
        var error = parsed.Errors[0];
        if (error.SymbolResult is OptionResult option && FlagOf(option) is { } flag)
        {
            var values = option.Tokens.Count;
            return option.Option.Arity.MaximumNumberOfValues == 1 && values > 1
                ? new UsageException($"{flag} is given {values} times, but takes one value")
                : values == 0
                    ? new UsageException($"{flag} needs a value, but none was given")
                    : new UsageException($"{flag}: {error.Message}");
        }
        return new UsageException(error.Message.TrimEnd('.'));
    }

    private static string? FlagOf(OptionResult option) => option.IdentifierToken?.Value ?? option.Option.Name;

    private static IEnumerable<string> Flags(Command command)
    {
        for (Command? c = command; c is not null; c = c.Parents.OfType<Command>().FirstOrDefault())
        {
            foreach (var option in c.Options.Where(o => c == command || o.Recursive))
                yield return option.Name;
        }
    }
}
