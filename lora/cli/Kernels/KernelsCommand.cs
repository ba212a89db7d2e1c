using System.CommandLine;
using System.Diagnostics.CodeAnalysis;
using CudaLora.Kernels.Ops;

namespace CudaLora.Cli;

/// <summary>
/// <c>cudalora kernels</c>: the project's PTX, read, run, traced, counted and checked on any machine.
/// </summary>
internal static class KernelsCommand
{
    /// <summary>Every kernel of the project.</summary>
    public static IReadOnlyList<KernelLab> Labs
    {
        [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "The project file roots CudaLora.Kernels.")]
        get => KernelLab.All;
    }

    public static Command Create(Terminal terminal)
    {
        var command = new Command("kernels", "Read, run, trace, count and check PTX kernels; no GPU needed.");
        command.Add(List(terminal));
        command.Add(Show(terminal));
        command.Add(Run(terminal));
        command.Add(Trace(terminal));
        command.Add(Report(terminal));
        command.Add(Bench(terminal));
        command.Add(Check(terminal));
        command.SetAction(int (ParseResult _) => throw new UsageException(
            $"kernels needs one of {string.Join(", ", command.Subcommands.Select(sub => sub.Name))}"));
        return command;
    }

    /// <summary>The lab of an entry, or of a file with one entry.</summary>
    public static KernelLab Find(string name)
    {
        KernelLab[] found = [.. Labs.Where(lab => Matches(lab.Entry, name))];
        if (found.Length == 0) found = [.. Labs.Where(lab => Matches(lab.Stem, name))];
        return found.Length switch
        {
            1 => found[0],
            0 => throw new UsageException($"there is no kernel '{name}'; 'cudalora kernels list' shows all"),
            _ => throw new UsageException(
                $"'{name}' has several entries: {string.Join(", ", found.Select(lab => lab.Entry))}"),
        };

        static bool Matches(string known, string asked) => known.Equals(asked, StringComparison.OrdinalIgnoreCase);
    }

    private static Command List(Terminal terminal)
    {
        Option<string> format = Format();
        var command = new Command("list", "Every kernel with its file, shape and purpose.") { format };
        command.SetAction(parsed => KernelsShow.List(terminal, Value(parsed, format)));
        return command;
    }

    private static Command Show(Terminal terminal)
    {
        Argument<string> name = Name("an entry, or a file without its ending");
        var command = new Command("show", "A kernel's text, its parameters and what it costs.") { name };
        command.SetAction(parsed => KernelsShow.Show(terminal, Value(parsed, name)));
        return command;
    }

    private static Command Run(Terminal terminal)
    {
        Argument<string> name = Name("the kernel to run");
        Option<string?> shape = Shape();
        Option<string> device = new("--device")
        {
            Description = "emulator or cuda",
            DefaultValueFactory = _ => "emulator",
        };
        Option<int> seed = Seed();
        Option<bool> lines = new("--lines") { Description = "counters of every source line" };
        Option<string> format = Format();
        var command = new Command("run", "Run a kernel on random inputs and compare it with its oracle.")
        {
            name, shape, device, seed, lines, format,
        };
        command.SetAction(parsed => KernelsRun.Run(
            terminal, Find(Value(parsed, name)), parsed.GetValue(shape), Value(parsed, device), parsed.GetValue(seed),
            parsed.GetValue(lines), Value(parsed, format)));
        return command;
    }

    private static Command Trace(Terminal terminal)
    {
        Argument<string> name = Name("the kernel to follow");
        Option<string?> shape = Shape();
        Option<int> seed = Seed();
        Option<string> block = new("--block") { Description = "block x,y,z", DefaultValueFactory = _ => "0" };
        Option<int> warp = new("--warp") { Description = "warp of the block" };
        Option<int> lane = new("--lane") { Description = "lane of the warp, 0 to 31" };
        Option<int> steps = new("--steps")
        {
            Description = "most instructions to print",
            DefaultValueFactory = _ => 200,
        };
        var command = new Command("trace", "One thread's instructions, line by line, with register values.")
        {
            name, shape, block, warp, lane, steps, seed,
        };
        command.SetAction(parsed => KernelsTrace.Run(
            terminal, Find(Value(parsed, name)), parsed.GetValue(shape), Value(parsed, block), parsed.GetValue(warp),
            parsed.GetValue(lane), parsed.GetValue(steps), parsed.GetValue(seed)));
        return command;
    }

    private static Command Report(Terminal terminal)
    {
        Option<string> format = Format();
        var command = new Command("report", "Every kernel's counters against the least it must move and compute.")
        {
            format,
        };
        command.SetAction(parsed => KernelsReport.Run(terminal, Value(parsed, format)));
        return command;
    }

    private static Command Bench(Terminal terminal)
    {
        var names = new Argument<string[]>("NAME")
        {
            Description = "the kernels to time; all without",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<string?> shape = Shape();
        Option<string> device = new("--device")
        {
            Description = "cuda or emulator",
            DefaultValueFactory = _ => "cuda",
        };
        Option<int> repeats = new("--repeats")
        {
            Description = "timed launches of each kernel",
            DefaultValueFactory = _ => 50,
        };
        Option<string> format = Format();
        var command = new Command("bench", "Time kernels on a GPU, against its copy bandwidth.")
        {
            names, shape, device, repeats, format,
        };
        command.SetAction(parsed => KernelsBench.Run(
            terminal, parsed.GetValue(names) ?? [], parsed.GetValue(shape), Value(parsed, device),
            parsed.GetValue(repeats), Value(parsed, format)));
        return command;
    }

    private static Command Check(Terminal terminal)
    {
        var file = new Argument<string>("FILE") { Description = "any PTX file" };
        var command = new Command("check", "Parse a PTX file, and assemble it where ptxas is found.") { file };
        command.SetAction(parsed => KernelsCheck.Run(terminal, Value(parsed, file)));
        return command;
    }

    private static Argument<string> Name(string description) => new("NAME") { Description = description };

    private static Option<string?> Shape() => new("--shape") { Description = "extents, for example 64,128" };

    private static Option<int> Seed() => new("--seed")
    {
        Description = "of the random inputs and the order of warps",
        DefaultValueFactory = _ => 1,
    };

    private static Option<string> Format() => new("--format")
    {
        Description = "text, markdown or json",
        DefaultValueFactory = _ => "text",
    };

    private static string Value(ParseResult parsed, Option<string> option) => parsed.GetValue(option)!;

    private static string Value(ParseResult parsed, Argument<string> argument) => parsed.GetValue(argument)!;
}
