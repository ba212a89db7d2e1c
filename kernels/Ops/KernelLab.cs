using System.Diagnostics.CodeAnalysis;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>What one run of a kernel in the lab showed.</summary>
/// <param name="Launch">The shape it was launched with.</param>
/// <param name="Error">Largest distance from the double-precision oracle, in the lab's own measure.</param>
/// <param name="Tolerance">What that distance may be.</param>
/// <param name="MinimumBytes">
/// Global bytes any implementation must move: each input read once, each output written once.
/// </param>
/// <param name="Flops">Floating-point operations the formula asks for.</param>
public sealed record LabRun(LaunchShape Launch, double Error, double Tolerance, long MinimumBytes, double Flops)
{
    /// <summary>True when the kernel agrees with its oracle.</summary>
    public bool Agrees => Error <= Tolerance;
}

/// <summary>
/// One PTX entry with everything needed to try it: random inputs, a launch, and an oracle. Every non-abstract class of
/// this kind in the assembly is found by <see cref="All"/>; adding a kernel edits no list.
/// </summary>
public abstract class KernelLab
{
    private static IReadOnlyList<KernelLab>? all;

    /// <summary>Every lab, ordered by stem and entry.</summary>
    public static IReadOnlyList<KernelLab> All
    {
        [RequiresUnreferencedCode("Labs are found by reflection: a trimmed program must root CudaLora.Kernels.")]
        get => all ??= Find();
    }

    /// <summary>File name without extension.</summary>
    public abstract string Stem { get; }

    /// <summary>Entry name in that file.</summary>
    public abstract string Entry { get; }

    /// <summary>One line for people.</summary>
    public abstract string Summary { get; }

    /// <summary>The struct that is the entry's parameter list.</summary>
    public abstract Type Args { get; }

    /// <summary>What the numbers of a shape mean, for example rows, cols.</summary>
    public abstract IReadOnlyList<string> ShapeNames { get; }

    /// <summary>A shape that is quick on the emulator and has a ragged edge.</summary>
    public abstract IReadOnlyList<int> DefaultShape { get; }

    /// <summary>A shape large enough to be timed on a GPU, small enough for the oracle.</summary>
    public virtual IReadOnlyList<int> BenchShape => DefaultShape;

    /// <summary>Why the kernel moves more bytes than the least, or has bank conflicts; null if it does not.</summary>
    public virtual string? Note => null;

    /// <summary>Lowest compute capability times ten.</summary>
    public virtual int Capability => 80;

    /// <summary>Runs the kernel on random inputs and compares with the oracle.</summary>
    /// <param name="context">Where it runs.</param>
    /// <param name="shape">One number per name of <see cref="ShapeNames"/>.</param>
    /// <param name="seed">Of the inputs.</param>
    /// <param name="shift">Elements by which tensors start past a 16-byte boundary, where the lab heeds it.</param>
    /// <exception cref="ArgumentException">
    /// The shape has other numbers than <see cref="ShapeNames"/>, or ones the kernel refuses.
    /// </exception>
    public LabRun Run(CudaContext context, IReadOnlyList<int> shape, int seed = 1, int shift = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(shape);
        if (shape.Count != ShapeNames.Count || shape.Any(extent => extent < 1))
        {
            throw new ArgumentException(
                $"[{Entry}] a shape must be {ShapeNames.Count} positive numbers ({string.Join(", ", ShapeNames)}), "
                + $"but got ({string.Join(", ", shape)})");
        }
        return Try(context, shape, new LabInputs(context, seed, shift));
    }

    /// <summary>The run itself; the shape has the right rank.</summary>
    protected abstract LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs);

    [RequiresUnreferencedCode("Finds classes by reflection.")]
    private static KernelLab[] Find() =>
    [
        .. typeof(KernelLab).Assembly.GetTypes()
            .Where(type => type.IsSubclassOf(typeof(KernelLab)) && !type.IsAbstract)
            .Select(type => (KernelLab)Activator.CreateInstance(type, nonPublic: true)!)
            .OrderBy(lab => lab.Stem, StringComparer.Ordinal)
            .ThenBy(lab => lab.Entry, StringComparer.Ordinal),
    ];

    /// <summary>Largest |actual - expected| / (1 + |expected|); infinite if a value is not a number.</summary>
    protected static double Distance(ReadOnlySpan<float> actual, ReadOnlySpan<double> expected)
    {
        double worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double distance = Math.Abs(actual[i] - expected[i]) / (1 + Math.Abs(expected[i]));
            if (double.IsNaN(distance)) return double.PositiveInfinity;
            worst = Math.Max(worst, distance);
        }
        return worst;
    }
}
