using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// Training on the CUDA device: the emulator with every check on, and a real GPU where there is one. The tolerances: in
/// F32 both devices add the same products in another order, which ten steps of AdamW grow to about 1e-5; in BF16 each
/// activation keeps 8 bits, so a loss of about 4 agrees to 1 %.
/// </summary>
public class CudaTrainingTests
{
    private const int Steps = 10;

    public static TheoryData<string> Devices =>
        DriverProbe.TryFindCuda(out _, out _) ? ["emulator", "cuda"] : ["emulator"];

    [Theory]
    [MemberData(nameof(Devices))]
    public void TenLoraStepsInF32AreThoseOfTheCpu(string name)
    {
        var expected = Train(new ModelPlacement());
        using var device = Open(name);
        var actual = Train(F32(device));
        Close(expected.Losses, actual.Losses, 2e-5);
        Close(expected.Weights, actual.Weights, 2e-4);
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void TenLoraStepsInBf16AreNearThoseOfTheCpu(string name)
    {
        var expected = Train(new ModelPlacement());
        using var device = Open(name);
        var actual = Train(ModelPlacement.On(device));
        Close(expected.Losses, actual.Losses, 0.04);
        Assert.True(actual.Losses[^1] < actual.Losses[0] - 0.02, string.Join(' ', actual.Losses));
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void CheckpointingAndAccumulationWorkThere(string name)
    {
        using var device = Open(name);
        var plain = Train(F32(device), steps: 3);
        var recomputed = Train(F32(device), steps: 3, checkpointing: true);
        Assert.Equal(plain.Losses, recomputed.Losses);
        Assert.Equal(plain.Weights, recomputed.Weights);
        var large = Train(F32(device), steps: 3, dropout: 0, batch: 8);
        var small = Train(F32(device), steps: 3, dropout: 0, batch: 2, accumulation: 4);
        Close(large.Losses, small.Losses, 1e-5);
        Close(large.Weights, small.Weights, 2e-4);
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void EveryWeightTrainsThere(string name)
    {
        var expected = Train(new ModelPlacement(), steps: 3, full: true);
        using var device = Open(name);
        var actual = Train(F32(device), steps: 3, full: true);
        Close(expected.Losses, actual.Losses, 2e-5);
        Close(expected.Weights, actual.Weights, 2e-4);
        // Masters in F32, activations in BF16.
        var mixed = Train(ModelPlacement.On(device, trainAll: true), steps: 3, full: true);
        Close(expected.Losses, mixed.Losses, 0.04);
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void TheSameSeedGivesTheSameBits(string name)
    {
        using var device = Open(name);
        var one = Train(ModelPlacement.On(device), steps: 3);
        var two = Train(ModelPlacement.On(device), steps: 3);
        Assert.Equal(one.Losses, two.Losses);
        Assert.Equal(one.Weights, two.Weights);
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void AReplayedGraphGivesTheBitsOfTheEagerStep(string name)
    {
        using var device = Open(name);
        var eager = Train(ModelPlacement.On(device), steps: 6, graphs: false);
        var replayed = Train(ModelPlacement.On(device), steps: 6);
        Assert.Equal(eager.Losses, replayed.Losses);
        Assert.Equal(eager.Weights, replayed.Weights);
        Assert.Equal(0, eager.Graphs);
        Assert.True(replayed.Graphs > 0, "no step was captured");
        var accumulated = Train(ModelPlacement.On(device), steps: 4, batch: 2, accumulation: 2, graphs: false);
        var replayedSum = Train(ModelPlacement.On(device), steps: 4, batch: 2, accumulation: 2);
        Assert.Equal(accumulated.Losses, replayedSum.Losses);
        Assert.Equal(accumulated.Weights, replayedSum.Weights);
    }

    // What is trained in full has tensors of both kinds, of more and of fewer than 4096 values. A code may fall on the
    // other side of its middle where gradients differ in the last place, which moves a weight by 1 % of a step of 1e-3.
    [Theory]
    [MemberData(nameof(Devices))]
    public void EveryOptimizerTrainsThere(string name)
    {
        using var device = Open(name);
        foreach (var (optim, paged) in new[] { ("adamw", "paged_adamw"), ("adamw_8bit", "paged_adamw_8bit") })
        {
            var expected = Train(new ModelPlacement(), steps: 4, full: true, optim: optim);
            var actual = Train(F32(device), steps: 4, full: true, optim: optim);
            Close(expected.Losses, actual.Losses, 2e-5);
            Close(expected.Weights, actual.Weights, 2e-4);
            var inPages = Train(F32(device), steps: 4, full: true, optim: paged);
            Assert.Equal(actual.Losses, inPages.Losses);
            Assert.Equal(actual.Weights, inPages.Weights);
            Assert.True(inPages.Graphs > 0, "no step was captured");
        }
    }

    // In BF16 the values of W0 are rounded before either product: what differs from decoding first is the sums' order.
    [Theory]
    [MemberData(nameof(Devices))]
    public void AFourBitBaseTrainsWithItsCodesDecodedInRegisters(string name)
    {
        var expected = Train(new ModelPlacement(), dropout: 0, fourBit: true);
        using var device = Open(name);
        foreach (var strategy in new[] { LoraStrategy.Composed, LoraStrategy.FusedNf4 })
        {
            device.LoraStrategy = strategy;
            var actual = Train(ModelPlacement.On(device), dropout: 0, fourBit: true);
            Close(expected.Losses, actual.Losses, 0.04);
            Assert.True(actual.Losses[^1] < actual.Losses[0] - 0.02, string.Join(' ', actual.Losses));
            Assert.True(actual.Graphs > 0, "no step was captured");
        }
    }

    /// <summary>Without dropout q, k, v and gate, up share their passes: the same step, in a graph too.</summary>
    [Theory]
    [MemberData(nameof(Devices))]
    public void LayersThatShareTheirInputTrainAlike(string name)
    {
        var expected = Train(new ModelPlacement(), dropout: 0);
        using var device = Open(name);
        var exact = Train(F32(device), dropout: 0);
        Close(expected.Losses, exact.Losses, 2e-5);
        Close(expected.Weights, exact.Weights, 2e-4);
        foreach (var strategy in (LoraStrategy[])[LoraStrategy.Composed, LoraStrategy.BlockMatrix])
        {
            device.LoraStrategy = strategy;
            var replayed = Train(ModelPlacement.On(device), dropout: 0);
            Close(expected.Losses, replayed.Losses, 0.04);
            Assert.True(replayed.Graphs > 0, "no step was captured");
            var eager = Train(ModelPlacement.On(device), dropout: 0, graphs: false, checkpointing: true);
            Assert.Equal(replayed.Losses, eager.Losses);
            Assert.Equal(replayed.Weights, eager.Weights);
        }
    }

    private static ModelPlacement F32(CudaDevice device) => new() { Device = device };

    private static CudaDevice Open(string name) => name == "emulator"
        ? new CudaDevice(new EmulatedDriver(), ownsDriver: true)
        : DriverProbe.TryFindCuda(out var driver, out var reason)
            ? new CudaDevice(driver, ownsDriver: true)
            : throw new InvalidOperationException(reason);

    private static (double[] Losses, float[] Weights, int Graphs) Train(
        ModelPlacement placement, int steps = Steps, double dropout = 0.1, int batch = 4, int accumulation = 1,
        bool checkpointing = false, bool full = false, bool graphs = true, string optim = "adamw_torch",
        bool fourBit = false)
    {
        using var model = CausalLM.Load(
            Path.Combine(SharedData.Root, "tests", "Golden", "llama"), placement,
            fourBit ? new QuantizationOptions { DoubleQuant = true } : null);
        var random = new Generator(1);
        using var adapter = full ? null : LoraAdapter.Create(model, TrainerTests.Config(dropout), random);
        model.Training = true;
        model.GradientCheckpointing = checkpointing;
        IFineTuning method = adapter is null ? new FullFineTuning(model) : new LoraFineTuning(adapter);
        var arguments = TrainerTests.Arguments("unused") with
        {
            GradientAccumulationSteps = accumulation,
            CudaGraphs = graphs,
            Optim = optim,
        };
        using var runner = new StepRunner(arguments, method, new Sft());
        var data = new Batcher(TrainerTests.Examples(24), new BatcherOptions { BatchSize = batch, Seed = 3 });
        var losses = new double[steps];
        for (var i = 0; i < steps; i++)
            losses[i] = runner.Run(data, accumulation, 1).Loss;
        return (losses,
        [
            .. method.Groups(arguments).SelectMany(group => group.Parameters).SelectMany(p => p.Value.ToArray()),
        ],
        runner.GraphCount);
    }

    private static void Close(double[] expected, double[] actual, double tolerance)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], tolerance);
    }

    private static void Close(float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], tolerance);
    }
}
