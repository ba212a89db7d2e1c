namespace CudaLora.Cli;

/// <summary>Goes through the catalogue in rounds, so that a machine's drift shows as noise.</summary>
internal sealed class BenchRun(Terminal terminal, BenchBudget budget, CancellationToken cancel)
{
    private const string Cpu = "cpu";

    /// <summary>Measures all cases on the CPU, the first two of them its ceilings.</summary>
    public (BenchCeiling Ceiling, IReadOnlyList<BenchRow> Rows) Measure(IReadOnlyList<BenchCase> cases)
    {
        var samples = cases.Select(_ => new List<double[]>()).ToArray();
        for (var round = 0; round < budget.Rounds; round++)
        {
            for (var i = 0; i < cases.Count; i++)
            {
                cancel.ThrowIfCancellationRequested();
                Progress((round * cases.Count) + i, budget.Rounds * cases.Count, cases[i].Title);
                using var work = cases[i].Prepare();
                samples[i].Add(BenchClock.Sample(work, budget.Seconds));
            }
        }
        Progress(1, 1, "");
        var rows = cases.Zip(samples, Row).ToArray();
        // A ceiling is the best that was seen, not the usual.
        double Most(Func<BenchCase, double> work) => cases.Zip(samples)
            .Where(pair => pair.First.Group == KernelCases.Ceilings)
            .Max(pair => work(pair.First) / pair.Second.Min(round => round.Min()));
        return (new BenchCeiling(Cpu, Most(one => one.Flops), Most(one => one.Bytes)), rows);
    }

    /// <summary>Says where it is: in place on a screen, else a line at every tenth.</summary>
    public void Progress(int done, int count, string title)
    {
        if (terminal.IsLive)
        {
            var line = done == count ? "" : $"[{done + 1}/{count}] {title}";
            terminal.Output.Write("\r" + Figures.OneLine(line, terminal.Width - 1).PadRight(terminal.Width - 1) + "\r");
            terminal.Output.Flush();
        }
        else if (done < count && (count < 10 || done * 10 / count != (done - 1) * 10 / count || done == 0))
        {
            terminal.Line($"[{done + 1}/{count}] {title}");
        }
    }

    private static BenchRow Row(BenchCase one, List<double[]> rounds)
    {
        var (median, noise) = BenchClock.Summary(rounds);
        return new BenchRow(Cpu, one.Group, one.Name, median, noise, one.Bytes, one.Flops, one.Tokens);
    }
}
