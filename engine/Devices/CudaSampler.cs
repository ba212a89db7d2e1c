using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>How a token is drawn from logits.</summary>
/// <param name="Temperature">Divides the logits; 0 takes the likeliest token, the lowest id of equals.</param>
/// <param name="TopK">Draw among this many likeliest tokens; 0 means all.</param>
/// <param name="TopP">Draw among the fewest likeliest tokens whose share reaches this; 1 means all.</param>
/// <param name="Seed">Key of the draws.</param>
public readonly record struct SamplingRule(double Temperature, int TopK, double TopP, ulong Seed);

/// <summary>
/// Draws the next token of each row of logits on a CUDA device, so that the logits stay there: temperature, then top-k,
/// then top-p. A draw is a function of (seed, row, step) alone. The step is read from device memory: a captured launch
/// can be replayed.
/// </summary>
public sealed class CudaSampler : IDisposable
{
    private readonly CudaDevice device;
    private readonly SamplingRule rule;
    private readonly int rows;
    private readonly int vocabulary;
    private readonly DeviceBuffer<int> step;
    private readonly DeviceBuffer<ulong>? keys;
    private readonly DeviceBuffer<byte>? notes;
    private readonly int[] chosen;

    /// <summary>A sampler of logits (rows, vocabulary).</summary>
    /// <exception cref="ArgumentException">
    /// A value of the rule is out of its range, or the vocabulary beyond <see cref="LargestVocabulary"/>.
    /// </exception>
    public CudaSampler(CudaDevice device, SamplingRule rule, int rows, int vocabulary)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (!double.IsFinite(rule.Temperature) || rule.Temperature < 0 || rule.TopK < 0
            || rule.TopP is not (> 0 and <= 1))
            throw new ArgumentException(
                "[sampler] temperature and top-k must be at least 0 and top-p in (0, 1], "
                + $"but got {rule.Temperature}, {rule.TopK} and {rule.TopP}");
        if (rows < 1 || vocabulary < 1 || vocabulary > LargestVocabulary)
            throw new ArgumentException(
                $"[sampler] logits must be (rows, up to {LargestVocabulary} tokens), but got ({rows}, {vocabulary})");
        (this.device, this.rows, this.vocabulary) = (device, rows, vocabulary);
        var greedy = rule.Temperature == 0 || rule.TopK == 1;
        this.rule = rule with
        {
            Temperature = greedy ? 0 : rule.Temperature,
            TopK = rule.TopK < vocabulary ? rule.TopK : 0,
        };
        chosen = new int[rows];
        Ids = Tensor.Owned(Shape.Of(rows), DType.I32, device);
        var memory = device.Context.Memory;
        step = memory.Allocate<int>(1);
        if (greedy || (this.rule.TopK == 0 && rule.TopP == 1))
            return;
        keys = memory.Allocate<ulong>((long)rows * Sampling.Capacity(vocabulary));
        notes = memory.Allocate<byte>((long)rows * Sampling.NoteBytes);
    }

    /// <summary>Most tokens of a vocabulary.</summary>
    public static int LargestVocabulary => Sampling.MostTokens;

    /// <summary>What <see cref="Queue"/> draws: (rows), I32, on the device.</summary>
    public Tensor Ids { get; }

    /// <summary>Sets the number of the token in its continuation, for the draws that follow.</summary>
    public void SetStep(int number) => step.Upload([number]);

    /// <summary>Queues the draw of <see cref="Ids"/>.</summary>
    /// <param name="logits">(rows, vocabulary), F32 or BF16.</param>
    public void Queue(Tensor logits)
    {
        Tensor.RequireFloat("sampler", logits);
        if (logits.Count != (long)rows * vocabulary || logits.Device != device)
            throw new ArgumentException(
                $"[sampler] logits must be ({rows}, {vocabulary}) on {device.Name}, "
                + $"but got {logits} on {logits.Device.Name}");
        var (stream, bf16, from) = (device.Stream, logits.DType == DType.BF16, logits.DeviceAddress);
        var to = Ids.OnDevice<int>();
        if (rule.Temperature == 0)
        {
            Sampling.Argmax(stream, rows, new(from, to, vocabulary), bf16);
            return;
        }
        if (keys is null)
        {
            Sampling.All(stream, rows, new(from, to, step.Pointer, rule.Seed, rule.Temperature, vocabulary, 0), bf16);
            return;
        }
        var capacity = Sampling.Capacity(vocabulary);
        Sampling.Candidates(
            stream, rows,
            new(from, keys.Pointer, notes!.Pointer, rule.Temperature, rule.TopP, vocabulary, rule.TopK, capacity),
            bf16);
        Sampling.Pick(
            stream, rows,
            new(
                from, to, keys.Pointer, notes.Pointer, step.Pointer, rule.Seed, rule.Temperature, rule.TopP, vocabulary,
                0, rule.TopK, capacity),
            bf16);
    }

    /// <summary>The draws on the host, after waiting for them; overwritten by the next call.</summary>
    public ReadOnlySpan<int> Read()
    {
        Ids.CopyTo<int>(chosen);
        return chosen;
    }

    /// <summary>Releases the memory on the device.</summary>
    public void Dispose()
    {
        Ids.Dispose();
        step.Dispose();
        keys?.Dispose();
        notes?.Dispose();
    }
}
