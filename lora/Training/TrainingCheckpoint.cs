using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A <c>checkpoint-N</c> folder: the result as the method saves it, the optimiser's moments, the trainer's state. The
/// state is written last, so a folder that has it is complete.
/// </summary>
internal static class TrainingCheckpoint
{
    private const string OptimizerFile = "optimizer.safetensors";
    private const string MethodFile = "method.safetensors";

    public static string Write(
        TrainingArguments arguments, IFineTuning method, AdamW optimizer, TrainerState state)
    {
        var folder = CheckpointFolders.PathOf(arguments.OutputDir, state.GlobalStep);
        var staged = folder + ".partial";
        if (Directory.Exists(staged))
            Directory.Delete(staged, recursive: true);
        Directory.CreateDirectory(staged);
        method.Save(staged);
        TensorFiles.Write(Path.Combine(staged, OptimizerFile), optimizer.State());
        var own = method.State().ToArray();
        if (own.Length > 0)
            TensorFiles.Write(Path.Combine(staged, MethodFile), own);
        state.Write(staged, arguments);
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.Move(staged, folder);
        return folder;
    }

    public static TrainerState Read(string folder, IFineTuning method, AdamW optimizer)
    {
        var state = TrainerState.Read(folder);
        ReadMethod(folder, method);
        TensorFiles.Read(Path.Combine(folder, OptimizerFile), optimizer.State());
        optimizer.StepCount = state.GlobalStep;
        return state;
    }

    /// <summary>The method's values alone.</summary>
    public static void ReadMethod(string folder, IFineTuning method)
    {
        method.Restore(folder);
        var own = method.State().ToArray();
        if (own.Length == 0)
            return;
        TensorFiles.Read(Path.Combine(folder, MethodFile), own);
        method.StateRead();
    }
}
