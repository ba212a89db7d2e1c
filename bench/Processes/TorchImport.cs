using System.Diagnostics;
using System.Globalization;

namespace CudaLora.Bench.Processes;

/// <summary>What CudaLora is used instead of: Python, which has to import torch before it can do anything.</summary>
/// <param name="Python">The interpreter.</param>
/// <param name="Version">Of torch.</param>
/// <param name="Bytes">Of Debian's package and all it needs, or 0 where torch came otherwise.</param>
/// <param name="Packages">How many packages those are.</param>
internal sealed record TorchImport(string Python, string Version, long Bytes, int Packages)
{
    public const string Package = "python3-torch";

    public static readonly string[] Code = ["-c", "import torch"];

    /// <summary>The python that can import torch, or null.</summary>
    public static TorchImport? Find()
    {
        foreach (var python in (string[])["/usr/bin/python3", "python3"])
            if (Output(python, "-c", "import torch; print(torch.__version__)") is { Length: > 0 } version)
            {
                var (bytes, packages) = Installed();
                return new TorchImport(python, version.Trim(), bytes, packages);
            }
        return null;
    }

    /// <summary>The installed packages that one needs, itself among them, from the lines of dpkg's list.</summary>
    /// <param name="list">package, kilobytes, provides, pre-depends, depends; separated by tabs.</param>
    /// <param name="package">Where to begin.</param>
    public static (long Bytes, int Packages) Closure(string list, string package)
    {
        var rows = list.Split('\n').Select(line => line.Split('\t')).Where(cells => cells.Length == 5)
            .ToLookup(cells => cells[0]);
        var providers = rows.SelectMany(row => row)
            .SelectMany(cells => Names(cells[2]).Select(name => (Name: name, Provider: cells[0])))
            .ToLookup(pair => pair.Name, pair => pair.Provider);
        var (seen, open) = (new HashSet<string>(), new Stack<string>([package]));
        var bytes = 0L;
        while (open.TryPop(out var name))
        {
            if (!rows.Contains(name) || !seen.Add(name)) continue;
            var cells = rows[name].First();
            bytes += 1024 * long.Parse(cells[1], CultureInfo.InvariantCulture);
            // Of alternatives, those that are installed count.
            foreach (var needed in Names(cells[3]).Concat(Names(cells[4])))
                foreach (var found in providers[needed].Prepend(needed))
                    open.Push(found);
        }
        return (bytes, seen.Count);
    }

    private static (long Bytes, int Packages) Installed() => Output("dpkg-query", "-W",
        "-f", @"${Package}\t${Installed-Size}\t${Provides}\t${Pre-Depends}\t${Depends}\n") is { } list
            ? Closure(list, Package)
            : (0, 0);

    // "a (>= 1) | b:any, c" is a, b, c.
    private static IEnumerable<string> Names(string relations) =>
        relations.Split([',', '|'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(relation => relation.Split(' ')[0].Split(':')[0]);

    private static string? Output(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            _ = process.StandardError.ReadToEndAsync();
            var text = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? text : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
