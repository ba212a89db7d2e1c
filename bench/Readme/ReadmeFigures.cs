using CudaLora.Engine;

namespace CudaLora.Bench.Readme;

/// <summary>
/// The measured parts of README.md and of the guide, each between <c>&lt;!-- figures: NAME --&gt;</c> and
/// <c>&lt;!-- end figures --&gt;</c>, written from committed results.
/// </summary>
internal static class ReadmeFigures
{
    /// <summary>The results that are shown.</summary>
    public const string Results = "bench/results/epyc-avx512-2c";

    // Of a machine without AVX-512.
    private const string NarrowResults = "bench/results/epyc-milan-2c";

    private const string FileName = "README.md";
    private const string End = "<!-- end figures -->";

    /// <summary>The parts of each document by name: where their numbers are, and how they are written.</summary>
    private static readonly Dictionary<string, (string Name, string Results, Func<string, string> Make)[]> Parts = new()
    {
        [FileName] =
        [
            ("bundled", Results, RunFigures.Bundled), ("peers", Results, PeerFigures.Table),
            ("peers with AVX2", NarrowResults, PeerFigures.Short), ("emulator", Results, EmulatorFigures.Sentence),
            ("runs", Results, RunFigures.Table), ("processes", Results, ProcessFigures.Table),
            ("alignment", Results, AlignmentFigures.Table),
        ],
        ["lora/README.md"] =
        [
            ("lab parameters", Results, LabFigures.Parameters), ("lab init", Results, LabFigures.Init),
            ("lab rank", Results, LabFigures.Rank), ("lab placement", Results, LabFigures.Placement),
            ("lab sweep", Results, LabFigures.Sweep), ("lab quantization", Results, LabFigures.Quantization),
            ("compare quick", Results, GuideFigures.Compare("compare-quick")),
            ("compare", Results, GuideFigures.Compare("compare")),
            ("compare e2e", Results, GuideFigures.Compare("compare-e2e")), ("memory", Results, GuideFigures.Memory),
            ("lab kernel", Results, LabFigures.Kernel), ("trace", Results, LabFigures.Trace),
            ("align", Results, GuideFigures.Align),
        ],
    };

    /// <summary>The documents, as paths in the repository.</summary>
    public static IReadOnlyCollection<string> Documents => Parts.Keys;

    /// <summary>
    /// <c>readme</c>: writes the documents anew; <c>readme --check</c>: only says whether they would change. Run
    /// anywhere in the repository.
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
        var stale = 0;
        foreach (var document in Documents)
        {
            var path = Path.Combine(root, document);
            var before = File.ReadAllText(path).ReplaceLineEndings("\n");
            var after = Apply(document, before, root);
            if (after == before)
            {
                Console.WriteLine($"{path} shows what was measured");
            }
            else if (args.Length > 0)
            {
                Console.Error.WriteLine($"{path} differs from bench/results; write it with 'readme'");
                stale = 1;
            }
            else
            {
                AtomicFile.WriteText(path, after);
                Console.WriteLine($"written: {path}");
            }
        }
        return stale;
    }

    /// <summary>The text of a document with every part made anew.</summary>
    /// <exception cref="InvalidDataException">A part's marks are missing.</exception>
    public static string Apply(string document, string text, string root)
    {
        foreach (var (name, results, make) in Parts[document])
        {
            var begin = $"<!-- figures: {name} -->\n";
            var from = text.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
            var to = from < begin.Length ? -1 : text.IndexOf(End, from, StringComparison.Ordinal);
            if (to < 0)
                throw new InvalidDataException($"{document} needs a line '{begin.TrimEnd()}', and '{End}' after it");
            text = $"{text[..from]}{make(Path.Combine(root, results)).TrimEnd('\n')}\n{text[to..]}";
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
