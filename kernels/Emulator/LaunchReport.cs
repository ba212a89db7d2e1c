namespace CudaLora.Kernels.Emulator;

/// <summary>The counters of one source line.</summary>
/// <param name="Line">Line in the PTX file, from 1.</param>
/// <param name="Text">The line's text, trimmed.</param>
/// <param name="Counters">What was counted there.</param>
public sealed record LineCounters(int Line, string Text, Counters Counters);

/// <summary>What one launch did: its fault if any, counters, and what it needs of a multiprocessor.</summary>
public sealed class LaunchReport
{
    internal LaunchReport(EmulatedKernel kernel, EmulatorFault? fault, Counters[] perInstruction, int sharedBytes,
        int threads)
    {
        Kernel = kernel.Name;
        Fault = fault;
        var lines = new SortedDictionary<int, Counters>();
        string[] text = kernel.Source.Module.Text.Split('\n');
        Counters total = default;
        for (int i = 0; i < perInstruction.Length; i++)
        {
            Counters c = perInstruction[i];
            Instruction instruction = kernel.Code[i];
            c.ScalarFlops += c.LaneInstructions * instruction.FlopsPerLane;
            if (instruction.Source.Synthetic) (c.WarpInstructions, c.LaneInstructions) = (0, 0);
            lines.TryGetValue(instruction.Line, out Counters sum);
            sum.Add(c);
            lines[instruction.Line] = sum;
            total.Add(c);
        }
        Counters = total;
        Lines = [.. lines.Select(p => new LineCounters(p.Key, text[p.Key - 1].Trim(), p.Value))];
        SharedBytes = sharedBytes;
        Registers = kernel.RegisterEstimate;
        Occupancy = Emulator.TheoreticalOccupancy(kernel.Source.Module.TargetNumber, threads, Registers, sharedBytes);
    }

    /// <summary>Entry name.</summary>
    public string Kernel { get; }

    /// <summary>The first fault; null when the launch succeeded.</summary>
    public EmulatorFault? Fault { get; }

    /// <summary>Counters of the whole launch.</summary>
    public Counters Counters { get; }

    /// <summary>Counters per source line that holds an instruction, in line order.</summary>
    public IReadOnlyList<LineCounters> Lines { get; }

    /// <summary>Shared memory of a block, static and dynamic, in bytes.</summary>
    public int SharedBytes { get; }

    /// <summary>
    /// Estimate of 32-bit registers a thread needs: the most that are live at once. ptxas has the last word.
    /// </summary>
    public int Registers { get; }

    /// <summary>
    /// Resident warps of a multiprocessor over its maximum, 0..1, from registers, shared memory and block size.
    /// </summary>
    public double Occupancy { get; }

    /// <summary>Throws when the launch faulted.</summary>
    /// <exception cref="EmulatorException">The launch faulted.</exception>
    public LaunchReport EnsureSucceeded() => Fault is null ? this : throw new EmulatorException(Fault);
}
