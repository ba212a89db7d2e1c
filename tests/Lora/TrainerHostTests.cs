using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>What a program that trains in process may do to a <see cref="Trainer"/>, and what is left behind.</summary>
public class TrainerHostTests
{
    [Fact]
    public void AFailureLeavesTheModelAsItWas()
    {
        using var folder = new TemporaryFolder();
        using var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0.1), new Generator(1));
        var observer = new Failing();
        var arguments = TrainerTests.Arguments(folder.Path) with { GradientCheckpointing = true };

        Assert.Throws<InvalidOperationException>(() => Trainer(adapter, arguments, observer).Run());

        Assert.True(observer.WasCheckpointing, "the option was not heeded");
        Assert.False(model.Training);
        Assert.False(model.GradientCheckpointing);
    }

    [Fact]
    public void RefusedOptionsLeaveNoMemory()
    {
        using var folder = new TemporaryFolder();
        // A device of its own: other tests use the CPU's memory at the same time.
        using var device = new CudaDevice(new EmulatedDriver(), ownsDriver: true);
        using var model = CausalLM.Load(TrainerTests.TinyModelFolder, ModelPlacement.On(device));
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1));
        var arguments = TrainerTests.Arguments(folder.Path) with { Optim = "sgd", GradientCheckpointing = true };
        var before = device.Memory.InUse;

        var error = Assert.Throws<ArgumentException>(() => Trainer(adapter, arguments, new Failing()).Run());

        Assert.Contains("adamw", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, device.Memory.InUse);
        Assert.False(model.GradientCheckpointing);
    }

    [Fact]
    public void StoppedBeforeTheFirstStepItTakesNone()
    {
        using var folder = new TemporaryFolder();
        using var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0.1), new Generator(1));
        var before = Values(adapter);

        var result = Trainer(adapter, TrainerTests.Arguments(folder.Path), null).Run(new CancellationToken(true));

        Assert.Equal((TrainingEnd.Interrupted, 0), (result.End, result.Steps));
        Assert.Equal(before, Values(adapter));
        var whole = Trainer(adapter, TrainerTests.Arguments(folder.Path) with { ResumeFromCheckpoint = "true" }, null)
            .Run();
        Assert.Equal((TrainingEnd.Completed, 4), (whole.End, whole.Steps));
    }

    [Fact]
    public void AnAdapterThatCannotTrainIsRefused()
    {
        using var folder = new TemporaryFolder();
        using var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(model, TrainerTests.Config(0), new Generator(1));
        adapter.Save(folder.File("a"));
        using var loaded = LoraAdapter.Load(model, folder.File("a"), "loaded");

        Assert.Contains("SetTrainable", Refused(loaded), StringComparison.Ordinal);
        Assert.Contains("Activate", Refused(adapter), StringComparison.Ordinal);
        loaded.SetTrainable(true);
        loaded.Merge();
        Assert.Contains("Unmerge", Refused(loaded), StringComparison.Ordinal);
        loaded.Unmerge();
        var before = Values(loaded);
        Trainer(loaded, TrainerTests.Arguments(folder.Path), null).Run();
        Assert.NotEqual(before, Values(loaded));

        string Refused(LoraAdapter one) => Assert.Throws<InvalidOperationException>(
            () => Trainer(one, TrainerTests.Arguments(folder.Path), null).Run()).Message;
    }

    [Theory]
    [InlineData(3, 2)]
    [InlineData(2, 3)]
    [InlineData(0, 0)]
    public void AnExampleWithoutALabelForEachIdIsRefused(int ids, int labels)
    {
        var error = Assert.Throws<UserErrorException>(
            () => new Batcher([new SftExample([1, 2], [1, 2]), new SftExample(new int[ids], new int[labels])]));
        Assert.Contains($"example 1 has {ids} and {labels}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void BatchesAreWhatTheArgumentsSay()
    {
        var arguments = TrainerTests.Arguments("out") with
        {
            PerDeviceTrainBatchSize = 3,
            PerDeviceEvalBatchSize = 5,
            GroupByLength = true,
            Packing = true,
            MaxLength = 77,
            Seed = 9,
        };
        Assert.Equal(
            new BatcherOptions
            {
                BatchSize = 3,
                GroupByLength = true,
                Pack = true,
                RowLength = 77,
                Seed = 9,
                PadId = 2,
            },
            arguments.TrainBatches(2));
        Assert.Equal(new BatcherOptions { BatchSize = 5, Shuffle = false }, arguments.EvalBatches());
    }

    private static Trainer Trainer(LoraAdapter adapter, TrainingArguments arguments, Failing? observer)
    {
        if (observer is not null)
            observer.Model = adapter.Model;
        return new Trainer(
            arguments, new LoraFineTuning(adapter), new Sft(),
            new Batcher(TrainerTests.Examples(8), arguments.TrainBatches()), observer: observer);
    }

    private static float[] Values(LoraAdapter adapter) =>
        [.. adapter.TrainableParameters().SelectMany(p => p.Value.ToArray())];

    private sealed class Failing : ITrainerObserver
    {
        public CausalLM? Model { get; set; }

        public bool WasCheckpointing { get; private set; }

        public void OnStep(in StepReport report)
        {
            WasCheckpointing = Model!.GradientCheckpointing;
            throw new InvalidOperationException("the host's own");
        }
    }
}
