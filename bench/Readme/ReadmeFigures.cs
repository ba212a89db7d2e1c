using CudaLora.Engine;

namespace CudaLora.Bench.Readme;

/// <summary>
/// The measured parts of README.md, each between <c>&lt;!-- figures: NAME --&gt;</c> and
/// <c>&lt;!-- end figures --&gt;</c>, written from the results of one machine.
/// </summary>
internal static class ReadmeFigures
{
    /// <summary>The results shown.</summary>
    public const string Results = "bench/results/epyc-milan-2c";

    private const string FileName = "README.md";
    private const string End = "<!-- end figures -->";

    private const string WideResults = "epyc-avx512-2c";

    /// <summary>The parts by name.</summary>
    private static readonly Dictionary<string, Func<string, string>> Parts = new()
    {
        ["bundled"] = RunFigures.Bundled,
        ["peers"] = PeerFigures.Table,
        ["peers with AVX-512"] = results => PeerFigures.Table(Path.Combine(results, "..", WideResults)),
        ["processes"] = results => ProcessFigures.Table(Path.Combine(results, "..", WideResults)),
        ["emulator"] = EmulatorFigures.Sentence,
        ["runs"] = RunFigures.Table,
    };

    /// <summary>
    /// <c>readme</c>: writes README.md anew; <c>readme --check</c>: only says whether it would change. Run anywhere in
    /// the repository.
    /// </summary>
    public static int Run(string[] args)
    {
        if (args is not ([] or ["--check"]))
        {
            Console.Error.WriteLine("readme takes --check or nothing");
            return 2;
        }
        if (Root() is not { } root)
        {
            Console.Error.WriteLine($"no {FileName} with {Results} in this folder or one above it");
            return 1;
        }
        var path = Path.Combine(root, FileName);
        var before = File.ReadAllText(path).ReplaceLineEndings("\n");
        var after = Apply(before, Path.Combine(root, Results));
        if (after == before)
        {
            Console.WriteLine($"{path} shows what was measured");
            return 0;
        }
        if (args.Length > 0)
        {
            Console.Error.WriteLine($"{path} differs from {Results}; write it with 'readme'");
            return 1;
        }
        AtomicFile.WriteText(path, after);
        Console.WriteLine($"written: {path}");
        return 0;
    }

    /// <summary>The text with every part made from a folder of results.</summary>
    /// <exception cref="InvalidDataException">A part's marks are missing.</exception>
    public static string Apply(string text, string results)
    {
        foreach (var (name, make) in Parts)
        {
            var begin = $"<!-- figures: {name} -->\n";
            var from = text.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
            var to = from < begin.Length ? -1 : text.IndexOf(End, from, StringComparison.Ordinal);
            if (to < 0)
                throw new InvalidDataException($"{FileName} needs a line '{begin.TrimEnd()}', and '{End}' after it");
            text = $"{text[..from]}{make(results).TrimEnd('\n')}\n{text[to..]}";
        }
        return text;
    }

    private static string? Root()
    {
        var folder = new DirectoryInfo(Directory.GetCurrentDirectory());
        while (folder is not null
            && !(File.Exists(Path.Combine(folder.FullName, FileName))
                && Directory.Exists(Path.Combine(folder.FullName, Results))))
            folder = folder.Parent;
        return folder?.FullName;
    }
}
